#include "common/wire/resume.h"

#include <filesystem>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "spdlog/spdlog.h"

namespace terse {

absl::StatusOr<std::optional<FoundCheckpoint>> ChooseResume(
    const std::string& resume, const std::string& directory) {
  std::optional<FoundCheckpoint> found;
  if (resume == "never") return found;
  std::vector<std::string> passed_over;
  if (resume == "auto") {
    if (directory.empty()) {
      return WithExitCode(
          absl::InvalidArgumentError(
              "--resume auto: give --run-dir or --checkpoint-dir"),
          ExitCode::kBadCommandLine);
    }
    found = NewestCheckpoint(directory, passed_over);
    if (!found && !passed_over.empty()) {
      return WithExitCode(
          absl::DataLossError(absl::StrCat(
              directory, ": no checkpoint here is whole; the newest says: ",
              passed_over.front(), "; --resume never starts anew")),
          ExitCode::kBadData);
    }
  } else {
    TERSE_ASSIGN_OR_RETURN(found, FindCheckpoint(resume, passed_over));
  }
  if (found) {
    // As the other shards can name it too.
    std::error_code error;
    const auto folder = std::filesystem::canonical(found->folder, error);
    if (!error) found->folder = folder.string();
  }
  for (const std::string& line : passed_over) {
    spdlog::warn("passed over a checkpoint: {}", line);
  }
  return found;
}

absl::StatusOr<std::string> CheckpointDirectory(const std::string& directory) {
  if (directory.empty()) return directory;
  TERSE_RETURN_IF_ERROR(MakeFolder(directory));
  std::error_code error;
  const std::filesystem::path path =
      std::filesystem::canonical(directory, error);
  return error ? directory : path.string();
}

}  // namespace terse
