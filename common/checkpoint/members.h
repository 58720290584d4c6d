// What a job can do about workers that are lost.
#ifndef TERSE_COMMON_CHECKPOINT_MEMBERS_H_
#define TERSE_COMMON_CHECKPOINT_MEMBERS_H_

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/plan/plan.h"
#include "proto/job.pb.h"

namespace terse {

// Whether a job goes on when it loses a worker's connection: its workers are in
// step, its transport can connect anew, and it keeps its codec.
bool OutlivesWorkers(const Job& job);

// Whether it then goes on without the worker.
bool ContinuesWithout(const Job& job);

// Whether steps may close with some workers' gradients missing.
bool ClosesIncomplete(const Job& job);

// Whether another process can take a lost worker's rank in the middle of the
// job. Where the job waits for it, all that a worker keeps from step to step
// must be what servers publish, or batch-norm statistics; where it does not,
// the other begins without the rest.
bool TakesReplacements(const Job& job, const Plan& plan);

// Whether workers tell the servers their batch-norm statistics with every step,
// for those who take a lost one's rank.
bool SharesStatistics(const Job& job, const Plan& plan);

// How long a lost worker's rank is kept for it, or for a replacement.
absl::Duration RejoinTimeout(const Job& job);

// Errors: InvalidArgument (exit code 78; rounds that may close without some
// workers, and codecs that need everybody's gradient).
absl::Status CheckWorkerLoss(const Job& job, const Plan& plan);

}  // namespace terse

#endif  // TERSE_COMMON_CHECKPOINT_MEMBERS_H_
