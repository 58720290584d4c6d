// What the main programs of the roles share: signals and the files of a run.
#ifndef TERSE_COMMON_WIRE_ROLE_MAIN_H_
#define TERSE_COMMON_WIRE_ROLE_MAIN_H_

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"

namespace terse {

// Turns non-zero, to the signal's number, on SIGTERM, SIGINT or SIGHUP; see
// RunEventLoop for more than one.
// Call once, before any thread is started.
const std::atomic<int>& StopSignal();

// Ends this process's roles as a second signal would; for a role that fails
// beside another one.
void StopAllRoles();

// Logs go to standard error: time in UTC, level, `role`, message.
void StartLog(const std::string& role);

// The job's token, from the environment variable TERSE_TOKEN; empty if unset.
std::string TokenFromEnvironment();

// Tells this process from every other.
uint64_t NewIncarnation();

// Makes the kernels run on the instruction set `name`; empty: the best.
// Errors: InvalidArgument (exit code 2), naming those there are.
absl::Status ChooseKernelTarget(const std::string& name);

// Writes a file so that a reader sees all of it or nothing.
// Errors: Unavailable (exit code 74), naming the path.
absl::Status WriteFileAtomically(const std::string& path,
                                 const std::string& content);

// Appends JSON objects to a file, a line each, seen by readers at once.
class JsonLog {
 public:
  // Errors: Unavailable (exit code 74).
  static absl::StatusOr<std::unique_ptr<JsonLog>> Open(const std::string& path);
  ~JsonLog();
  void Write(const nlohmann::json& object);

 private:
  explicit JsonLog(std::FILE* file) : file_(file) {}
  std::FILE* file_;
};

// Writes a job's report into its run directory and to `path`, where given. If
// no step was left to do, what is told is the report in the run directory of
// those that led to the same weights, where there is one.
// Errors: Unavailable (exit code 74).
absl::Status WriteReport(const nlohmann::json& report,
                         const std::string& run_dir, const std::string& path);

// Ends a role: prints an error as one line ("terse-server: ...") and returns
// the exit code.
int ExitWith(const std::string& program, const absl::Status& status);

}  // namespace terse

#endif  // TERSE_COMMON_WIRE_ROLE_MAIN_H_
