// What one shard keeps of another's blocks, so that a process which takes the
// other's place goes on where that was lost: `cluster.replicas`. A shard
// publishes no version of a block before its mirror has it. Bytes: FORMAT.md.
#ifndef TERSE_SERVER_MIRROR_H_
#define TERSE_SERVER_MIRROR_H_

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/buffer.h"
#include "common/plan/plan.h"
#include "proto/job.pb.h"
#include "proto/wire.pb.h"
#include "server/block_store.h"

namespace terse {

// Where the mirror of `shard` is.
inline uint32_t MirrorOf(const Job& job, uint32_t shard) {
  return (shard + 1) % job.cluster().servers();
}

// Floats of a block that is mirrored: weights, arrays of the optimizer's state,
// the scale that workers share in the next step, and its right factor.
size_t MirroredFloats(const Job& job, const Plan& plan, uint32_t block);
// Floats of MirroredBlock.learned: three and more arrays, or none.
size_t MirroredLearned(const Job& job, const Plan& plan, uint32_t block);
// The longest payload of any of the blocks of `shard`, or of a JOB_STATE.
size_t MirroredBytesMax(const Job& job, const Plan& plan, uint32_t shard);

// The payload of a MIRROR: the block as `store` has it, and `rest` behind it.
Buffer MirrorPayload(const Job& job, const Plan& plan, const BlockStore& store,
                     uint32_t block, const wire::MirroredBlock& rest);

// The newest version of each block of a shard.
class Mirror {
 public:
  struct Kept {
    uint64_t version = 0;
    wire::MirroredBlock rest;
  };

  // `job` and `plan` must outlive the mirror.
  Mirror(const Job& job, const Plan& plan, uint32_t shard);

  // Errors: InvalidArgument (another shard's block, or an older version),
  // DataLoss (the payload is none of this block); nothing was changed.
  absl::Status Take(uint64_t version, uint32_t block, const Buffer& payload);
  // Of a MIRROR_SUM: makes the update that the shard has made, with the same
  // code. `learning_rate` is the step's.
  // Errors: as Take, where the version before is not there too; as ValidateSum
  // and BlockStore::Update.
  absl::Status TakeSum(uint64_t version, uint32_t block, float learning_rate,
                       const Buffer& payload);

  // Whether every block is there.
  bool whole() const { return kept_.size() == store_.blocks().size(); }
  // Requires: whole(). By block.
  const std::map<uint32_t, Kept>& kept() const { return kept_; }
  const BlockStore& store() const { return store_; }
  // Of all that is kept.
  uint64_t newest() const;
  uint64_t oldest() const;

 private:
  const Job& job_;
  const Plan& plan_;
  absl::StatusOr<Kept> Parse(uint64_t version, uint32_t block,
                             std::span<const std::byte> rest) const;

  BlockStore store_;
  std::vector<float> floats_;  // One block's.
  std::map<uint32_t, Kept> kept_;
};

// Blocks on their way to a mirror, or back: no more at a time than a link's
// queue takes. They arrive in order, and so do the answers.
class MirrorQueue {
 public:
  void Add(uint32_t block) { waiting_.push_back(block); }
  // The next block to be sent; none: nothing waits, or too much is under way.
  std::optional<uint32_t> Next();
  void OnSent(uint32_t block, size_t bytes);
  // Errors: InvalidArgument (this is not the block under way).
  absl::Status OnAnswer(uint32_t block);
  void Clear() { *this = {}; }

 private:
  std::deque<uint32_t> waiting_;
  std::deque<std::pair<uint32_t, size_t>> under_way_;  // Block and bytes.
  size_t bytes_under_way_ = 0;
};

}  // namespace terse

#endif  // TERSE_SERVER_MIRROR_H_
