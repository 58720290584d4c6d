// What a job keeps of itself, by name: pieces of tensors as blocks cut them.
// "weights/fc1.weight/262144" holds the elements of fc1.weight from 262144 on.
// Names: FORMAT.md beside this file.
#ifndef TERSE_COMMON_CHECKPOINT_SAVED_STATE_H_
#define TERSE_COMMON_CHECKPOINT_SAVED_STATE_H_

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/checkpoint/checkpoint.h"
#include "common/checkpoint/safetensors.h"
#include "common/plan/plan.h"

namespace terse {

// Floats to be written, with memory of their own: the job goes on meanwhile.
struct SavedTensor {
  std::string name;
  std::vector<uint64_t> shape;
  std::vector<float> values;
};

// The name of a block's piece: KIND/TENSOR/FIRST_ELEMENT.
std::string PieceName(std::string_view kind, const Plan& plan, uint32_t block);

// Its shape: the tensor's where the block is all of it, else [rows, ...] where
// it has whole rows, else [elements].
std::vector<uint64_t> PieceShape(const Plan& plan, uint32_t block);

SavedTensor MakePiece(std::string_view kind, const Plan& plan, uint32_t block,
                      std::span<const float> values);

// What a worker keeps of a block, in the order in which it travels: "residual"
// and "momentum" where its codec has them, of buffers "buffer"; often nothing.
std::vector<std::string_view> KeptKinds(const Plan& plan, uint32_t block);

// "shard-00000-of-00002.safetensors".
std::string ShardFileName(uint32_t shard, uint32_t servers);
// What worker `worker` keeps of the blocks of `shard`:
// "worker-00001-of-00004.shard-00000-of-00002.safetensors".
std::string WorkerFileName(uint32_t worker, uint32_t workers, uint32_t shard,
                           uint32_t servers);

// Errors: as WriteSafetensors.
absl::Status WriteTensors(const std::string& path,
                          std::span<const SavedTensor> tensors,
                          const std::map<std::string, std::string>& metadata);

// Reads a checkpoint.
class SavedState {
 public:
  // All of it, or where `shard` is given what that shard wrote.
  // Errors: as SafetensorsFile::Read.
  static absl::StatusOr<SavedState> Open(
      const FoundCheckpoint& checkpoint,
      std::optional<uint32_t> shard = std::nullopt);

  const CheckpointManifest& manifest() const { return manifest_; }

  // Of what the shards keep: floats named `name`.
  // Errors: DataLoss (exit code 65): no such tensor, or of another length.
  absl::Status Read(const std::string& name, std::span<float> target) const;
  // Of what worker `worker` keeps.
  absl::Status ReadWorker(uint32_t worker, const std::string& name,
                          std::span<float> target) const;

  // What the shards keep of a block as `kind`, whatever the blocks that it was
  // written in.
  absl::Status ReadBlock(std::string_view kind, const Plan& plan,
                         uint32_t block, std::span<float> target) const {
    return ReadPiece(shard_names_, kind, plan, block, target);
  }

  // A whole tensor put together from its pieces.
  absl::Status ReadTensor(std::string_view kind, const Plan& plan,
                          uint32_t tensor, std::span<float> target) const;

  // What worker `worker` of `plan.workers` goes on from in `block`, as
  // "residual", "momentum" or "buffer". With as many workers as before: what
  // this one kept. Else residuals and momenta of worker i go to worker i modulo
  // the number of workers, so that their sum stays, and buffers are the mean.
  // In the first step of another codec zeros where that kept nothing.
  absl::Status ReadKept(uint32_t worker, std::string_view kind,
                        const Plan& plan, uint32_t block,
                        std::span<float> target) const;

 private:
  using Names = std::map<std::string, const SafetensorsFile*>;
  absl::Status ReadFrom(const Names& names, const std::string& name,
                        std::span<float> target) const;
  // A piece, put together from others where there is none of this block.
  // Errors: DataLoss (exit code 65): elements that no piece holds.
  absl::Status ReadPiece(const Names& names, std::string_view kind,
                         const Plan& plan, uint32_t block,
                         std::span<float> target) const;
  absl::Status ReadWorkerPiece(uint32_t worker, std::string_view kind,
                               const Plan& plan, uint32_t block,
                               std::span<float> target) const;

  std::string folder_;
  CheckpointManifest manifest_;
  std::vector<std::unique_ptr<SafetensorsFile>> files_;
  Names shard_names_;
  std::vector<Names> worker_names_;
};

// Whether a job may go on from what another one kept: all that decides about
// bits must be the same but the length of the training and the numbers of
// processes. Errors: InvalidArgument (exit code 78), naming the first
// difference; as ParseJob.
absl::Status CheckSameJob(const Job& job, const FoundCheckpoint& checkpoint);

}  // namespace terse

#endif  // TERSE_COMMON_CHECKPOINT_SAVED_STATE_H_
