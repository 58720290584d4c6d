// Learning rate as a function of the step.
#ifndef TERSE_COMMON_OPTIMIZER_SCHEDULE_H_
#define TERSE_COMMON_OPTIMIZER_SCHEDULE_H_

#include <cstdint>

#include "proto/job.pb.h"

namespace terse {

// The learning rate of step `step` (from 0) of `steps_total`, with
// `steps_per_epoch` steps in an epoch. Epochs in the options may be fractions.
float LearningRate(const Optimizer& options, uint64_t step,
                   uint64_t steps_total, uint64_t steps_per_epoch);

// BinaryConnect's factor for a layer's update (Courbariaux et al. 2015, code):
// sqrt((fan_in + fan_out) / 1.5) for Adam, its square for SGD.
float GlorotUpdateScale(const Optimizer& options, uint64_t fan_in,
                        uint64_t fan_out);

}  // namespace terse

#endif  // TERSE_COMMON_OPTIMIZER_SCHEDULE_H_
