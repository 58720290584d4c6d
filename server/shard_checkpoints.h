// One shard's part of checkpoints: takes its own state and what the workers
// keep of its blocks at the same version, and has both written in the
// background.
//
// The cut is consistent without stopping anybody: a worker that has all of
// version v sends what it keeps, then CUT, then the gradients of step v. At the
// first frame of that kind a shard is at version v and cannot have left it,
// because that worker's gradients are still to come.
#ifndef TERSE_SERVER_SHARD_CHECKPOINTS_H_
#define TERSE_SERVER_SHARD_CHECKPOINTS_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "common/base/background.h"
#include "common/base/buffer.h"
#include "common/checkpoint/saved_state.h"
#include "common/plan/plan.h"
#include "proto/wire.pb.h"
#include "server/block_store.h"

namespace terse {

class ShardCheckpoints {
 public:
  // Called when the part of `version` is on the disk, or is not.
  using Report =
      std::function<void(uint64_t version, const wire::Checkpointed&)>;

  // Writes into folders of `directory`. `plan` and `background` must outlive
  // this.
  ShardCheckpoints(const Plan& plan, uint32_t shard, uint32_t servers,
                   std::string directory, Background& background,
                   Report report);

  // What `worker` keeps of `block`, a parameter's or a buffer's, and the end of
  // it. `store` is at version `current`, where a cut of `version` began or can
  // still begin. Repeated frames are dropped.
  // Errors: InvalidArgument, DataLoss: the worker is broken.
  absl::Status OnKept(uint32_t worker, uint64_t version, uint64_t current,
                      uint32_t block, Buffer payload, const BlockStore& store);
  absl::Status OnCut(uint32_t worker, uint64_t version, uint64_t current,
                     const BlockStore& store);

  // Cuts of versions before `version` belong to a process that was lost.
  void BeginWith(uint64_t version) {
    any_written_ = version > 0;
    written_ = version > 0 ? version - 1 : 0;
  }

  // Cuts do without `worker` from now on (its residuals are saved as zeros, its
  // statistics as another's), or wait for it again.
  void Leave(uint32_t worker);
  void Return(uint32_t worker) { present_[worker] = true; }

 private:
  struct Cut {
    std::vector<SavedTensor> state;
    std::vector<std::map<uint32_t, Buffer>> kept;  // By worker and block.
    std::vector<bool> ended;                       // By worker.
    std::vector<bool> awaited;                     // By worker.
  };
  // Null: written, being written, or given up.
  absl::StatusOr<Cut*> CutOf(uint64_t version, uint64_t current,
                             const BlockStore& store);
  void WriteIfComplete(uint64_t version);
  void FillIn(Cut& cut) const;
  void Write(uint64_t version, Cut cut);

  const Plan& plan_;
  const uint32_t shard_;
  const uint32_t servers_;
  const std::string directory_;
  Background& background_;
  const Report report_;
  size_t kept_blocks_ = 0;  // That each worker sends.
  std::map<uint64_t, Cut> cuts_;
  std::vector<bool> present_;  // By worker.
  uint64_t written_ = 0;  // The last version that was complete or given up.
  bool any_written_ = false;
};

}  // namespace terse

#endif  // TERSE_SERVER_SHARD_CHECKPOINTS_H_
