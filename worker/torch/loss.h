// The losses of job.proto, without torch.
#ifndef TERSE_WORKER_TORCH_LOSS_H_
#define TERSE_WORKER_TORCH_LOSS_H_

#include <cstdint>
#include <span>

#include "proto/job.pb.h"
#include "worker/model.h"

namespace terse {

// Loss of each sample, added up in double in the samples' order, and how many
// samples have their largest score (the first of equals) at their label.
// `scores` is samples x classes. Unless empty, `gradient` (same shape) takes
// the derivative of the mean loss by each score.
//   CROSS_ENTROPY: log(sum_c exp(s_c)) - s_label
//   SQUARED_HINGE: sum_c max(0, 1 - t_c s_c)^2, t = 1 at the label, else -1
// Requires: a sample at least; labels below classes = scores.size() /
// labels.size().
LossSums ComputeLoss(Model::Loss loss, std::span<const float> scores,
                     std::span<const uint32_t> labels,
                     std::span<float> gradient);

}  // namespace terse

#endif  // TERSE_WORKER_TORCH_LOSS_H_
