// The blocks that a worker waits for.
#ifndef TERSE_WORKER_AWAITED_BLOCKS_H_
#define TERSE_WORKER_AWAITED_BLOCKS_H_

#include <cstdint>

#include "common/plan/plan.h"
#include "proto/job.pb.h"
#include "worker/downlink.h"

namespace terse {

// By kind, of a version or of an evaluation.
struct AwaitedBlocks {
  // `under_way`: of a worker that comes to the job at `first_version`; else the
  // job begins with that.
  AwaitedBlocks(const Job& job, const Plan& plan, uint64_t first_version,
                bool under_way);
  // Nothing more is needed for the version of `weights`.
  bool complete() const {
    return weights.complete() && kept.complete() && state.complete();
  }
  BlockSet weights;
  BlockSet buffers;  // Batch-norm means.
  BlockSet shadows;  // fp32 weights of quantizers that are tested with them.
  // Of the first version, where that comes from a checkpoint; of one that comes
  // to a job under way, the statistics.
  BlockSet kept;
  BlockSet state;
};

}  // namespace terse

#endif  // TERSE_WORKER_AWAITED_BLOCKS_H_
