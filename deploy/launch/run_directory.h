// The folder that keeps everything of one run.
#ifndef TERSE_DEPLOY_LAUNCH_RUN_DIRECTORY_H_
#define TERSE_DEPLOY_LAUNCH_RUN_DIRECTORY_H_

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace terse {

// Makes a run directory with an empty logs/ in it and returns its path.
// `wanted`: the directory; empty: runs/<name>-<UTC time>-<pid>, to which
// runs/latest then points. Letters of `name` that do not suit a file name
// become dashes. `reuse`: a run in it goes on.
// Errors: exit code 2 (`wanted` holds something already, or to reuse something
// that is no run), 74 (cannot be made).
absl::StatusOr<std::string> MakeRunDirectory(const std::string& wanted,
                                             std::string_view name,
                                             absl::Time now,
                                             bool reuse = false);

// Writes `text` to `path`, whole or not at all. A path that is no ordinary file
// (/dev/stdout) is written to, not replaced.
// Errors: exit code 74.
absl::Status WriteFile(const std::string& path, std::string_view text);

// Errors: NotFound (exit code 66), exit code 74 (cannot be read).
absl::StatusOr<std::string> ReadFile(const std::string& path);

// Whether WriteFile(path) could work, asked before hours of training.
// Errors: exit code 74.
absl::Status CheckWritable(const std::string& path);

// Writes job.yaml and cmd.txt: enough to run the same again.
// Errors: exit code 74.
absl::Status KeepCommand(const std::string& run_directory,
                         std::string_view job_yaml,
                         const std::vector<std::string>& command_line,
                         absl::Time now);

// Errors: NotFound (exit code 66), of one that is given.
absl::Status CheckDataDirectory(const std::string& directory);

}  // namespace terse

#endif  // TERSE_DEPLOY_LAUNCH_RUN_DIRECTORY_H_
