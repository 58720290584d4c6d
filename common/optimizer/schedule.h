// Learning rate as a function of the step.
#ifndef TERSE_COMMON_OPTIMIZER_SCHEDULE_H_
#define TERSE_COMMON_OPTIMIZER_SCHEDULE_H_

#include <cstdint>

#include "proto/job.pb.h"

namespace terse {

// The learning rate of step `step` (from 0) of `steps_total`, with
// `steps_per_epoch` steps in an epoch. Epochs in the options may be fractions
// and are rounded to steps.
//   warm-up of W steps: step s < W takes (s + 1) / W of the rate, so that the
//     first step is not lost and step W - 1 has all of it
//   exponential, cosine: from there down to final_learning_rate, which the last
//     step has exactly
//   step: `factor` for each milestone from that step on, during warm-up too
// The same bits on every machine.
float LearningRate(const Optimizer& options, uint64_t step,
                   uint64_t steps_total, uint64_t steps_per_epoch);

// BinaryConnect's factor for a layer's update (Courbariaux et al. 2015, code):
// sqrt((fan_in + fan_out) / 1.5) for Adam, its square for SGD.
float GlorotUpdateScale(const Optimizer& options, uint64_t fan_in,
                        uint64_t fan_out);

}  // namespace terse

#endif  // TERSE_COMMON_OPTIMIZER_SCHEDULE_H_
