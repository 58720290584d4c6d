// Child processes that cannot outlive this one.
#ifndef TERSE_DEPLOY_LAUNCH_PROCESS_H_
#define TERSE_DEPLOY_LAUNCH_PROCESS_H_

#include <sys/types.h>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"

namespace terse {

struct ProcessSpec {
  std::vector<std::string> arguments;  // [0] is the program's path.
  // Added to this process's environment, or in place of what stands there.
  std::vector<std::pair<std::string, std::string>> environment;
  // Standard input is a pipe, which closes when the process is to end; see
  // remote.h. Else it is empty.
  bool stop_by_input = false;
};

struct Process {
  pid_t pid = -1;
  // Standard output and error of the process and of what it starts in turn;
  // non-blocking. The caller closes it.
  int output = -1;
  // Of stop_by_input, else -1; the caller closes it.
  int input = -1;
};

// Starts `spec` in a process group of its own
// (Ctrl-C reaches this process alone, and kill(-pid) reaches all it started).
// The kernel kills it with SIGKILL when the calling thread ends, so call this
// from the main thread.
// Errors: NotFound or PermissionDenied (the program cannot be executed),
// ResourceExhausted (no more processes or files).
absl::StatusOr<Process> StartProcess(const ProcessSpec& spec);

// "exit code 78" or "signal SIGKILL", from a wait status.
std::string DescribeWaitStatus(int status);

// "SIGTERM" of 15; "signal 64" for one without a name.
std::string SignalName(int signal);

// `arguments` as one line that a shell reads back the same.
std::string ShellLine(const std::vector<std::string>& arguments);

}  // namespace terse

#endif  // TERSE_DEPLOY_LAUNCH_PROCESS_H_
