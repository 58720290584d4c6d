// A checkpoint is a folder: safetensors files of every shard and worker, and a
// manifest, written last, that names them with their checksums. A folder
// without a manifest, or one that does not fit it, is no checkpoint. Layout:
// FORMAT.md beside this file.
#ifndef TERSE_COMMON_CHECKPOINT_CHECKPOINT_H_
#define TERSE_COMMON_CHECKPOINT_CHECKPOINT_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace terse {

struct CheckpointFile {
  std::string name;  // Within the folder.
  uint64_t bytes = 0;
  uint32_t crc32c = 0;
};

struct CheckpointManifest {
  uint64_t version = 0;  // Of the weights: so many steps are in them.
  // Which have been so many updates: in SSP and async of each worker one.
  uint64_t updates = 0;
  uint32_t servers = 0;
  uint32_t workers = 0;
  std::string job_yaml;                 // As PrintJob has it.
  std::optional<double> test_accuracy;  // Of this version, if it was evaluated.
  std::vector<CheckpointFile> files;
};

struct FoundCheckpoint {
  std::string folder;
  CheckpointManifest manifest;
};

// "step-000000001200"; in the order of the versions.
std::string CheckpointFolderName(uint64_t version);

// Makes `folder`, with those above it. Errors: Unavailable (exit code 74).
absl::Status MakeFolder(const std::string& folder);

// Length and checksum of folder/name as it is on the disk.
// Errors: NotFound (exit code 66), Unavailable (74).
absl::StatusOr<CheckpointFile> DescribeFile(const std::string& folder,
                                            const std::string& name);

// Makes the files of `folder` a checkpoint: whole or not at all, and durable.
// Errors: Unavailable (exit code 74).
absl::Status WriteManifest(const std::string& folder,
                           const CheckpointManifest& manifest);

// Errors: DataLoss (exit code 65): it is no manifest, or of a later Terse.
absl::StatusOr<CheckpointManifest> ParseManifest(std::string_view text,
                                                 const std::string& source);

// The checkpoint in `folder`, every file of which has been read and fits.
// Errors: NotFound (exit code 66: no manifest), DataLoss (65), Unavailable
// (74).
absl::StatusOr<FoundCheckpoint> OpenCheckpoint(const std::string& folder);

// The same without a look at the files but the manifest.
absl::StatusOr<FoundCheckpoint> ReadCheckpoint(const std::string& folder);

// The newest whole checkpoint in `folder`, newest first; `passed_over` gets a
// line for each that is damaged. Nothing if there is none, or no such folder.
std::optional<FoundCheckpoint> NewestCheckpoint(
    const std::string& folder, std::vector<std::string>& passed_over);

// A checkpoint as people name it: its folder, the folder it lies in, or a run
// directory (which keeps them in "checkpoints").
// Errors: as OpenCheckpoint; NotFound (exit code 66): none there.
absl::StatusOr<FoundCheckpoint> FindCheckpoint(
    const std::string& path, std::vector<std::string>& passed_over);

// Deletes the checkpoints of `folder` before `version` but the newest
// `keep_last - 1` and, with `keep_best`, the one of the highest accuracy, and
// what was begun before `version` and never became one.
void RemoveOldCheckpoints(const std::string& folder, uint64_t version,
                          uint32_t keep_last, bool keep_best);

}  // namespace terse

#endif  // TERSE_COMMON_CHECKPOINT_CHECKPOINT_H_
