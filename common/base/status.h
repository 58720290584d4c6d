// Errors from outside (network, disk, flag, peer) are absl::Status; TERSE_CHECK
// is for our own bugs and stays on in release builds.
#ifndef TERSE_COMMON_BASE_STATUS_H_
#define TERSE_COMMON_BASE_STATUS_H_

#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace terse {

// Exit codes of every Terse program; see README.md.
enum class ExitCode : int {
  kOk = 0,
  kFailure = 1,
  kBadCommandLine = 2,
  kBadData = 65,
  kInputMissing = 66,
  kPeerNeverCame = 69,
  kInternal = 70,
  kDisk = 74,
  kNotAllowed = 77,
  kBadJob = 78,
  kInterrupted = 130,
  kTerminated = 143,
};

// Marks `status` (an error) with the exit code a program should end with.
absl::Status WithExitCode(absl::Status status, ExitCode code);

// The code set by WithExitCode, else one derived from the status code.
ExitCode ExitCodeOf(const absl::Status& status);

// Puts `context` and ": " before the message; keeps code and exit code.
absl::Status Annotate(const absl::Status& status, std::string_view context);

}  // namespace terse

#define TERSE_STATUS_CONCAT_INNER(a, b) a##b
#define TERSE_STATUS_CONCAT(a, b) TERSE_STATUS_CONCAT_INNER(a, b)

#define TERSE_RETURN_IF_ERROR(expression)                             \
  do {                                                                \
    if (absl::Status terse_status = (expression); !terse_status.ok()) \
      return terse_status;                                            \
  } while (false)

#define TERSE_ASSIGN_OR_RETURN(target, expression)                      \
  TERSE_ASSIGN_OR_RETURN_IMPL(TERSE_STATUS_CONCAT(terse_or_, __LINE__), \
                              target, expression)
#define TERSE_ASSIGN_OR_RETURN_IMPL(temporary, target, expression) \
  auto temporary = (expression);                                   \
  if (!temporary.ok()) return std::move(temporary).status();       \
  target = *std::move(temporary)

#define TERSE_CHECK(condition)                                              \
  do {                                                                      \
    if (!(condition)) {                                                     \
      std::fprintf(stderr, "%s:%d: check failed: %s\n", __FILE__, __LINE__, \
                   #condition);                                             \
      std::abort();                                                         \
    }                                                                       \
  } while (false)

#endif  // TERSE_COMMON_BASE_STATUS_H_
