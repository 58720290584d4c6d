// The half of Supervisor that says how a job ended.
#include <sys/wait.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "common/base/status.h"
#include "deploy/launch/supervise.h"

namespace terse {
namespace {

std::string DescribeEnd(int wait_status) {
  if (WIFSIGNALED(wait_status)) {
    return absl::StrCat("was killed by ", SignalName(WTERMSIG(wait_status)));
  }
  return absl::StrCat("failed with exit code ", WEXITSTATUS(wait_status));
}

// Whether it did not end by itself, nor was asked to.
bool WasEnded(int wait_status) {
  if (WIFSIGNALED(wait_status)) return true;
  const int code = WEXITSTATUS(wait_status);
  // Of ssh that lost its machine; and of a shell there, for a role that a
  // signal ended which does not ask for an end.
  constexpr int kSshLost = 255;
  return code == kSshLost ||
         (code > 128 && code != 128 + SIGHUP &&
          code != int(ExitCode::kInterrupted) && code != 128 + SIGQUIT &&
          code != int(ExitCode::kTerminated));
}

// Whether the same start may go better: not after an error in the job, its data
// or the disk.
bool IsLoss(int wait_status) {
  if (WasEnded(wait_status)) return true;
  const int code = WEXITSTATUS(wait_status);
  return code == int(ExitCode::kFailure) ||
         code == int(ExitCode::kPeerNeverCame) ||
         code == int(ExitCode::kInternal);
}

}  // namespace

bool Supervisor::GoesOnWithout(Child& child) {
  if (!lose_ || !IsLoss(child.wait_status)) return false;
  const Loss loss = lose_(child.role, DescribeEnd(child.wait_status),
                          WasEnded(child.wait_status));
  if (!loss.job_goes_on) return false;
  if (loss.replaced_after) {
    replacements_.emplace_back(child.end_time + *loss.replaced_after,
                               loss.replacement.value_or(child.role));
  }
  child.given_up = true;
  if (child.process.input >= 0) close(child.process.input);
  close(child.log);
  return true;
}

Outcome Supervisor::MakeOutcome() const {
  switch (cause_) {
    case Cause::kNone:
      return {};
    case Cause::kRoleFailed:
      return FailureOutcome();
    case Cause::kSignal:
      return SignalOutcome();
    case Cause::kTickFailed:
      return {int(ExitCodeOf(tick_status_)),
              std::string(tick_status_.message())};
    case Cause::kStragglers:
      break;
  }
  // One that hangs now has done its part.
  std::string message = "the job is done, but not all of its processes ended";
  for (const auto& child : children_) {
    if (!child->ended_after_stop) continue;
    absl::StrAppend(&message, "\n", child->role.name, " (pid ",
                    child->process.pid, ") had to be stopped\n",
                    Excerpt(*child));
  }
  return {0, message};
}

// A role that fails tells its peers why, and they end with its exit code and
// its words behind its name: the shortest such message is the original.
const Supervisor::Child& Supervisor::Origin() const {
  const Child* origin = root_;
  for (const auto& child : children_) {
    // It may have ended late: one that was merely stopped has another status.
    if (child->wait_status != root_->wait_status) continue;
    const std::string original = LastWords(*child);
    const std::string words = LastWords(*origin);
    if (!original.empty() && original.size() < words.size() &&
        words.ends_with(": " + original)) {
      origin = child.get();
    }
  }
  return *origin;
}

Outcome Supervisor::FailureOutcome() const {
  const Child& root = Origin();
  const int status = root.wait_status;
  const std::string loss = absl::StrFormat(
      "%s (%s) %s after %.1f s", root.role.name,
      root.role.host.empty() ? absl::StrCat("pid ", root.process.pid)
                             : absl::StrCat("on ", root.role.host),
      DescribeEnd(status),
      std::chrono::duration<double>(root.end_time - start_time_).count());
  std::string message = loss + "; the job was stopped";
  if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) {
    message +=
        "\nterse did not send that signal: a person did, or the kernel "
        "for want of memory (see dmesg)";
  }
  absl::StrAppend(&message, "\n", Excerpt(root), Consequences(root));
  Outcome outcome = {.exit_code = WIFEXITED(status) ? WEXITSTATUS(status)
                                                    : int(ExitCode::kFailure),
                     .message = message};
  if (IsLoss(status)) {
    outcome.lost_role = root.role.name;
    outcome.loss = loss;
    const std::string words = LastWords(root);
    if (WIFEXITED(status) && !words.empty()) {
      absl::StrAppend(&outcome.loss, " (", words, ")");
    }
  }
  return outcome;
}

Outcome Supervisor::SignalOutcome() const {
  const bool keyboard = signal_ == SIGINT || signal_ == SIGQUIT;
  const ExitCode code =
      keyboard ? ExitCode::kInterrupted : ExitCode::kTerminated;
  std::string message =
      absl::StrCat("the job was stopped by ", SignalName(signal_));
  std::vector<std::string> killed;
  for (const auto& child : children_) {
    if (WIFSIGNALED(child->wait_status) &&
        WTERMSIG(child->wait_status) == SIGKILL) {
      killed.push_back(child->role.name);
    }
  }
  if (!killed.empty()) {
    absl::StrAppend(&message,
                    "; had to be killed: ", absl::StrJoin(killed, ", "));
  }
  return {int(code), message};
}

std::string Supervisor::Consequences(const Child& root) const {
  std::vector<std::string> ends;
  for (const auto& child : children_) {
    if (child.get() == &root) continue;
    if (child->ended_after_stop) {
      ends.push_back(absl::StrCat(child->role.name, " (stopped)"));
    } else if (child->wait_status != 0) {
      ends.push_back(absl::StrCat(child->role.name, " (",
                                  DescribeWaitStatus(child->wait_status), ")"));
    }
  }
  if (ends.empty()) return "";
  return absl::StrCat("\nended because of it: ", absl::StrJoin(ends, ", "));
}

// The last line without the program's name in front.
std::string Supervisor::LastWords(const Child& child) {
  const std::vector<std::string> lines = child.last_lines.Lines();
  if (lines.empty()) return "";
  const std::string& line = lines.back();
  const size_t colon = line.find(": ");
  return colon == std::string::npos ? line : line.substr(colon + 2);
}

std::string Supervisor::Excerpt(const Child& child) const {
  const std::vector<std::string> lines = child.last_lines.Lines();
  if (lines.empty()) {
    return absl::StrCat("it wrote nothing to its log ", child.role.log_path);
  }
  std::string text =
      absl::StrCat("its last lines (all of them: ", child.role.log_path, ")");
  for (const std::string& line : lines) {
    absl::StrAppend(&text, "\n  | ", line);
  }
  return text;
}

}  // namespace terse
