// What a coordinator's flags say of checkpoints.
#ifndef TERSE_COMMON_WIRE_RESUME_H_
#define TERSE_COMMON_WIRE_RESUME_H_

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "common/checkpoint/checkpoint.h"

namespace terse {

// What `--resume RESUME` means: nothing for "never", the newest whole
// checkpoint in `directory`, if there is one, for "auto", else the one at that
// path. Says in the log which damaged ones are passed over. Errors: those of
// FindCheckpoint; InvalidArgument (exit code 2: auto without a directory);
// DataLoss (65: there are checkpoints and none is whole).
absl::StatusOr<std::optional<FoundCheckpoint>> ChooseResume(
    const std::string& resume, const std::string& directory);

// `directory`, made if it is not there, as every process of the job can name
// it; empty stays empty. Errors: Unavailable (exit code 74).
absl::StatusOr<std::string> CheckpointDirectory(const std::string& directory);

}  // namespace terse

#endif  // TERSE_COMMON_WIRE_RESUME_H_
