#include "deploy/launch/supervise.h"

#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/base/status.h"

namespace terse {
namespace {

using std::chrono::steady_clock;

constexpr std::array<int, 4> kStopSignals = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};

// A role that fails tells its peers, which may end before it does, as may those
// that see a crashed one's connection break: so long is waited for the true
// cause to show up.
constexpr std::chrono::milliseconds kVerdictDelay(1000);

// What roles take to leave a job that is done, at most.
constexpr std::chrono::milliseconds kLeaving(10'000);

// A role that writes without end must not keep the others from being read.
constexpr size_t kCopyBytesMax = size_t{1} << 20;

bool Failed(int wait_status) {
  return !WIFEXITED(wait_status) || WEXITSTATUS(wait_status) != 0;
}

// Whether the role ended because another one had gone.
bool LostItsPeer(int wait_status) {
  return WIFEXITED(wait_status) &&
         WEXITSTATUS(wait_status) == int(ExitCode::kPeerNeverCame);
}

bool IsKeyboardSignal(int number) {
  return number == SIGINT || number == SIGQUIT;
}

bool WriteAll(int file, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t count = write(file, bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return false;
    bytes.remove_prefix(count);
  }
  return true;
}

double Seconds(steady_clock::duration duration) {
  return std::chrono::duration<double>(duration).count();
}

}  // namespace

void LastLines::Append(std::string_view bytes) {
  while (!bytes.empty()) {
    const size_t end = bytes.find('\n');
    const std::string_view piece = bytes.substr(0, end);
    const size_t room = kLineBytesMax - open_line_.size();
    open_line_ += piece.substr(0, room);
    if (end == std::string_view::npos) return;
    lines_.push_back(std::move(open_line_));
    open_line_.clear();
    if (lines_.size() > kLinesMax) lines_.pop_front();
    bytes.remove_prefix(end + 1);
  }
}

std::vector<std::string> LastLines::Lines() const {
  std::vector<std::string> lines(lines_.begin(), lines_.end());
  if (!open_line_.empty()) lines.push_back(open_line_);
  if (lines.size() > kLinesMax) lines.erase(lines.begin());
  return lines;
}

Supervisor::Supervisor(Milliseconds grace, Milliseconds failure_grace, Say say)
    : grace_(grace),
      failure_grace_(std::min(grace, failure_grace)),
      say_(std::move(say)),
      start_time_(steady_clock::now()) {}

absl::StatusOr<std::unique_ptr<Supervisor>> Supervisor::Create(
    Milliseconds grace, Say say, Milliseconds failure_grace) {
  std::unique_ptr<Supervisor> supervisor(
      new Supervisor(grace, failure_grace, std::move(say)));
  TERSE_RETURN_IF_ERROR(supervisor->OpenSignals());
  return supervisor;
}

absl::Status Supervisor::OpenSignals() {
  // Whoever started this process may have told it not to wait for children.
  signal(SIGCHLD, SIG_DFL);
  sigset_t handled;
  sigemptyset(&handled);
  sigaddset(&handled, SIGCHLD);
  for (const int number : kStopSignals) {
    struct sigaction action;
    sigaction(number, nullptr, &action);
    // Under nohup a hangup is ignored, and stays so.
    if (action.sa_handler != SIG_IGN) sigaddset(&handled, number);
  }
  sigprocmask(SIG_BLOCK, &handled, &old_mask_);
  signal_fd_ = signalfd(-1, &handled, SFD_CLOEXEC | SFD_NONBLOCK);
  if (signal_fd_ < 0) return absl::ErrnoToStatus(errno, "signalfd");
  return absl::OkStatus();
}

Supervisor::~Supervisor() {
  KillAll(SIGKILL);
  for (const auto& child : children_) {
    if (!child->ended) waitpid(child->process.pid, nullptr, 0);
    if (child->process.output >= 0) close(child->process.output);
    if (child->process.input >= 0) close(child->process.input);
    if (child->log >= 0) close(child->log);
  }
  // A signal that came too late to matter must not end the process now.
  signalfd_siginfo info;
  while (signal_fd_ >= 0 && read(signal_fd_, &info, sizeof(info)) > 0) {
  }
  if (signal_fd_ >= 0) close(signal_fd_);
  sigprocmask(SIG_SETMASK, &old_mask_, nullptr);
}

absl::Status Supervisor::Start(const Role& role) {
  const int log = open(role.log_path.c_str(),
                       O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (log < 0) {
    return WithExitCode(
        absl::ErrnoToStatus(
            errno, absl::StrCat("cannot write the log ", role.log_path)),
        ExitCode::kDisk);
  }
  absl::StatusOr<Process> process = StartProcess(role.process);
  if (!process.ok()) {
    close(log);
    return Annotate(process.status(), role.name);
  }
  auto child = std::make_unique<Child>();
  child->role = role;
  child->process = *process;
  child->log = log;
  child->start_time = steady_clock::now();
  children_.push_back(std::move(child));
  return absl::OkStatus();
}

bool Supervisor::AnyRuns() const {
  return std::any_of(children_.begin(), children_.end(),
                     [](const auto& child) { return !child->ended; });
}

void Supervisor::KillAll(int signal) {
  for (const auto& child : children_) {
    // Not yet reaped, so the number still means this group.
    if (!child->ended) kill(-child->process.pid, signal);
  }
}

bool Supervisor::Kill(const std::string& name, SteadyTime start_max) {
  for (const auto& child : children_) {
    if (child->ended || child->killed || child->role.name != name ||
        child->start_time >= start_max) {
      continue;
    }
    kill(-child->process.pid, SIGKILL);
    return child->killed = true;
  }
  return false;
}

void Supervisor::Stop(Cause cause) {
  if (cause_ != Cause::kNone) return;
  cause_ = cause;
  kill_time_ = steady_clock::now() +
               (cause == Cause::kRoleFailed || cause == Cause::kStragglers
                    ? failure_grace_
                    : grace_);
  AskAllToEnd();
}

// An agent that is killed cannot tell how its role ended: it is to pass on that
// its input has.
void Supervisor::AskAllToEnd() {
  for (const auto& child : children_) {
    if (child->process.input >= 0) {
      close(std::exchange(child->process.input, -1));
    } else if (!child->ended) {
      kill(-child->process.pid, SIGTERM);
    }
  }
}

void Supervisor::TeeOutput(Child& child, std::string_view bytes) {
  for (size_t end; (end = bytes.find('\n')) != std::string_view::npos;
       bytes.remove_prefix(end + 1)) {
    child.tee_line += bytes.substr(0, end);
    tee_(child.role, child.tee_line);
    child.tee_line.clear();
  }
  const size_t room = LastLines::kLineBytesMax -
                      std::min(LastLines::kLineBytesMax, child.tee_line.size());
  child.tee_line += bytes.substr(0, room);
}

Outcome Supervisor::Run(const Tick& tick) {
  while (AnyRuns() || !replacements_.empty()) {
    Milliseconds timeout(100);
    StartReplacements();
    if (cause_ == Cause::kNone) {
      absl::StatusOr<Milliseconds> wait = tick();
      if (wait.ok()) {
        timeout = std::min(*wait, timeout);
      } else {
        tick_status_ = wait.status();
        Stop(Cause::kTickFailed);
      }
    }
    WaitForEvents(timeout);
    HandleSignals();
    ReapAll();
    CheckDeadlines();
  }
  return MakeOutcome();
}

void Supervisor::WaitForEvents(Milliseconds timeout) {
  std::vector<pollfd> polls = {{signal_fd_, POLLIN, 0}};
  for (const auto& child : children_) {
    polls.push_back({child->process.output, POLLIN, 0});  // -1 is passed over.
  }
  if (poll(polls.data(), polls.size(), timeout.count()) <= 0) return;
  for (size_t i = 0; i < children_.size(); ++i) {
    if (polls[i + 1].revents != 0) CopyOutput(*children_[i]);
  }
}

void Supervisor::HandleSignals() {
  signalfd_siginfo info;
  while (read(signal_fd_, &info, sizeof(info)) == sizeof(info)) {
    if (info.ssi_signo != SIGCHLD) HandleSignal(info.ssi_signo);
  }
}

void Supervisor::HandleSignal(int number) {
  if (cause_ == Cause::kNone) {
    signal_ = number;
    say_(absl::StrFormat(
        "%s: stopping the job, which gets %.0f s to end by itself; Ctrl-C "
        "kills it at once",
        SignalName(number), Seconds(grace_)));
    Stop(Cause::kSignal);
  } else if (IsKeyboardSignal(number) && !killed_) {
    say_("killing the job");
    kill_time_ = steady_clock::now();
  }
}

void Supervisor::CopyOutput(Child& child) {
  std::array<char, 16384> buffer;
  for (size_t copied = 0; copied < kCopyBytesMax;) {
    const ssize_t count =
        read(child.process.output, buffer.data(), buffer.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && errno == EAGAIN) return;
    if (count <= 0) {
      close(std::exchange(child.process.output, -1));
      return;
    }
    const std::string_view bytes(buffer.data(), count);
    copied += count;
    child.last_lines.Append(bytes);
    if (tee_) TeeOutput(child, bytes);
    if (!child.log_failed && !WriteAll(child.log, bytes)) {
      child.log_failed = true;
      say_(absl::StrCat("cannot write ", child.role.log_path, ": ",
                        strerror(errno), "; the log of ", child.role.name,
                        " stops here"));
    }
  }
}

void Supervisor::ReapAll() {
  std::vector<Child*> ended;
  for (const auto& child : children_) {
    if (child->ended) continue;
    const pid_t pid = child->process.pid;
    siginfo_t info{};
    const int result = waitid(P_PID, pid, &info, WEXITED | WNOHANG | WNOWAIT);
    if (result != 0 || info.si_pid != pid) continue;
    // While its leader is not reaped, the group's number cannot mean another
    // group: what the role left behind goes with it.
    kill(-pid, SIGKILL);
    waitpid(pid, &child->wait_status, 0);
    child->ended = true;
    child->end_time = steady_clock::now();
    child->ended_after_stop = cause_ != Cause::kNone;
    if (child->process.output >= 0) CopyOutput(*child);
    if (child->process.output >= 0) {
      close(std::exchange(child->process.output, -1));
    }
    ended.push_back(child.get());
  }
  HandleEnds(ended);
}

// How far a role's end is from being the cause of the others': a signal is
// nobody else's doing, a lost peer is all somebody else's.
int Supervisor::CauseRank(const Child& child) {
  if (WIFSIGNALED(child.wait_status)) return 0;
  return LostItsPeer(child.wait_status) ? 2 : 1;
}

void Supervisor::HandleEnds(const std::vector<Child*>& ended) {
  for (Child* child : ended) {
    if (!Failed(child->wait_status)) {
      if (child->role.coordinator) {
        straggler_time_ = child->end_time + std::min(grace_, kLeaving);
      }
      continue;
    }
    if (cause_ != Cause::kNone) continue;
    if (root_ == nullptr && GoesOnWithout(*child)) continue;
    if (root_ == nullptr) verdict_time_ = child->end_time + kVerdictDelay;
    if (root_ == nullptr || CauseRank(*child) < CauseRank(*root_)) {
      root_ = child;
    }
  }
  std::erase_if(children_, [](const auto& child) { return child->given_up; });
  if (root_ != nullptr && CauseRank(*root_) == 0) Stop(Cause::kRoleFailed);
}

void Supervisor::StartReplacements() {
  if (cause_ != Cause::kNone) replacements_.clear();
  for (auto it = replacements_.begin(); it != replacements_.end();) {
    if (steady_clock::now() < it->first) {
      ++it;
      continue;
    }
    const absl::Status started = Start(it->second);
    it = replacements_.erase(it);
    if (started.ok()) continue;
    tick_status_ = started;
    Stop(Cause::kTickFailed);
    return;
  }
}

void Supervisor::CheckDeadlines() {
  const SteadyTime now = steady_clock::now();
  if (root_ != nullptr && (now >= verdict_time_ || !AnyRuns())) {
    Stop(Cause::kRoleFailed);
  }
  if (now >= straggler_time_ && AnyRuns()) Stop(Cause::kStragglers);
  if (now >= kill_time_ && !killed_) {
    killed_ = true;
    KillAll(SIGKILL);
  }
}

}  // namespace terse
