#include "deploy/launch/process.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"

namespace terse {
namespace {

absl::Status ErrnoStatus(int error, const std::string& what) {
  return absl::ErrnoToStatus(error, what);
}

// A pipe whose ends close on exec.
struct Pipe {
  int read_end = -1;
  int write_end = -1;

  ~Pipe() {
    CloseRead();
    CloseWrite();
  }
  absl::Status Open() {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) {
      return ErrnoStatus(errno, "cannot open a pipe");
    }
    read_end = ends[0];
    write_end = ends[1];
    return absl::OkStatus();
  }
  int TakeWrite() { return std::exchange(write_end, -1); }
  int TakeRead() { return std::exchange(read_end, -1); }
  void CloseRead() {
    if (read_end >= 0) close(std::exchange(read_end, -1));
  }
  void CloseWrite() {
    if (write_end >= 0) close(std::exchange(write_end, -1));
  }
};

std::vector<std::string> MergedEnvironment(const ProcessSpec& spec) {
  std::vector<std::string> merged;
  for (const auto& [name, value] : spec.environment) {
    merged.push_back(absl::StrCat(name, "=", value));
  }
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    const std::string_view name = text.substr(0, text.find('='));
    bool replaced = false;
    for (const auto& [key, value] : spec.environment) replaced |= key == name;
    if (!replaced) merged.emplace_back(text);
  }
  return merged;
}

std::vector<char*> Pointers(std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  for (std::string& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

// A launcher started by nohup or in the background ignores signals that its
// children must heed, and it blocks those it reads from a signalfd.
void ResetSignals() {
  for (int number = 1; number < NSIG; ++number) signal(number, SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
}

// The child's way from fork to exec; only returns if something failed.
// `input` is -1 for an empty standard input.
int Become(char* const* arguments, char* const* environment, pid_t parent,
           int input, int output) {
  if (setpgid(0, 0) != 0) return errno;
  if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) return errno;
  // A parent that died before the line above sends no signal any more.
  if (getppid() != parent) return ESRCH;
  if (input < 0) input = open("/dev/null", O_RDONLY);
  if (input < 0) return errno;
  if (dup2(input, STDIN_FILENO) < 0) return errno;
  if (dup2(output, STDOUT_FILENO) < 0) return errno;
  if (dup2(output, STDERR_FILENO) < 0) return errno;
  if (input > STDERR_FILENO) close(input);
  ResetSignals();
  execve(arguments[0], arguments, environment);
  return errno;
}

}  // namespace

absl::StatusOr<Process> StartProcess(const ProcessSpec& spec) {
  TERSE_CHECK(!spec.arguments.empty());
  Pipe input;
  Pipe output;
  Pipe failure;
  if (spec.stop_by_input) TERSE_RETURN_IF_ERROR(input.Open());
  TERSE_RETURN_IF_ERROR(output.Open());
  TERSE_RETURN_IF_ERROR(failure.Open());
  std::vector<std::string> arguments = spec.arguments;
  std::vector<std::string> environment = MergedEnvironment(spec);
  const std::vector<char*> argument_pointers = Pointers(arguments);
  const std::vector<char*> environment_pointers = Pointers(environment);
  const pid_t parent = getpid();
  const pid_t pid = fork();
  if (pid < 0) return ErrnoStatus(errno, "cannot start a process");
  if (pid == 0) {
    const int error =
        Become(argument_pointers.data(), environment_pointers.data(), parent,
               input.read_end, output.write_end);
    // Should the parent be gone, nobody needs to know.
    (void)!write(failure.write_end, &error, sizeof(error));
    _exit(127);
  }
  setpgid(pid, pid);  // Whichever of the two comes first.
  failure.CloseWrite();
  int error = 0;
  ssize_t count;
  do {
    count = read(failure.read_end, &error, sizeof(error));
  } while (count < 0 && errno == EINTR);
  if (count != 0) {
    waitpid(pid, nullptr, 0);
    return ErrnoStatus(error, absl::StrCat("cannot start ", arguments[0]));
  }
  fcntl(output.read_end, F_SETFL, O_NONBLOCK);
  return Process{pid, output.TakeRead(), input.TakeWrite()};
}

std::string SignalName(int signal) {
  const char* name = sigabbrev_np(signal);
  if (name == nullptr) return absl::StrCat("signal ", signal);
  return absl::StrCat("SIG", name);
}

std::string DescribeWaitStatus(int status) {
  if (WIFSIGNALED(status)) {
    return absl::StrCat("signal ", SignalName(WTERMSIG(status)));
  }
  return absl::StrCat("exit code ", WEXITSTATUS(status));
}

std::string ShellLine(const std::vector<std::string>& arguments) {
  constexpr char kPlain[] =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
      "%+,-./:=@_";
  std::string line;
  for (const std::string& argument : arguments) {
    if (!line.empty()) line += ' ';
    if (!argument.empty() &&
        argument.find_first_not_of(kPlain) == std::string::npos) {
      line += argument;
      continue;
    }
    line += '\'';
    for (const char letter : argument) {
      if (letter == '\'') {
        line += "'\\''";
      } else {
        line += letter;
      }
    }
    line += '\'';
  }
  return line;
}

}  // namespace terse
