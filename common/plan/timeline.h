// When a job's steps, epochs and evaluations fall.
#ifndef TERSE_COMMON_PLAN_TIMELINE_H_
#define TERSE_COMMON_PLAN_TIMELINE_H_

#include <cstdint>

#include "proto/job.pb.h"

namespace terse {

// Version v of the weights is what v updates have made; a worker's step t
// computes on version t (BSP).
struct Timeline {
  uint64_t steps_total = 0;
  uint64_t steps_per_epoch = 1;
  uint64_t evaluate_every_steps = 0;  // 0: only at the end.
  uint64_t observe_every_steps = 0;   // 0: never.

  bool EvaluatesAt(uint64_t version) const {
    if (version >= steps_total) return version == steps_total;
    return version > 0 && evaluate_every_steps > 0 &&
           version % evaluate_every_steps == 0;
  }

  // Whether step `step`, which makes version step + 1, is looked at.
  bool ObservesStep(uint64_t step) const {
    return observe_every_steps > 0 && step % observe_every_steps == 0;
  }
};

// `steps_per_epoch` and, from it, the rest; the training set is cut into global
// batches of batch_size x workers samples and what does not fill one is left
// for another epoch's order. steps_per_epoch 0: the set is smaller than that.
inline Timeline MakeTimeline(const Job& job, uint64_t train_samples) {
  Timeline timeline;
  timeline.steps_per_epoch =
      train_samples /
      (uint64_t{job.train().batch_size()} * job.cluster().workers());
  timeline.steps_total = job.train().has_steps()
                             ? job.train().steps()
                             : job.train().epochs() * timeline.steps_per_epoch;
  timeline.evaluate_every_steps =
      job.train().evaluate_every_epochs() * timeline.steps_per_epoch;
  return timeline;
}

}  // namespace terse

#endif  // TERSE_COMMON_PLAN_TIMELINE_H_
