// Updates a block of weights from its mean gradient in one pass. The server
// runs it on the shadow weights; workers that hold a replica run the same code
// and stay bit-identical, on every instruction set.
#ifndef TERSE_COMMON_OPTIMIZER_OPTIMIZER_H_
#define TERSE_COMMON_OPTIMIZER_OPTIMIZER_H_

#include <cstdint>
#include <limits>
#include <span>
#include <string_view>
#include <vector>

#include "proto/job.pb.h"

namespace terse {

inline constexpr float kUnbounded = std::numeric_limits<float>::infinity();

struct UpdateArgs {
  uint64_t step = 0;         // Counts from 0; Adam's t is step + 1.
  float learning_rate = 0;   // Of this step, from the schedule.
  float update_scale = 1;    // BinaryConnect's Glorot factor; see schedule.h.
  float gradient_scale = 1;  // Clipping by global norm.
  float gradient_max =
      kUnbounded;                 // Clipping by value, before the norm's scale.
  float weight_decay = 0;         // L2, added to the clipped gradient.
  float weight_max = kUnbounded;  // Weights are clipped to [-max, max].
};

// Names of the state arrays the optimizer keeps per weight ("momentum"; "m" and
// "v"), in the order ApplyUpdate takes them. All start as zeros.
std::vector<std::string_view> OptimizerStateNames(const Optimizer& options);

// One step of the optimizer, for every element i:
//   g = clip(gradient[i], gradient_max) * gradient_scale
//       + weight_decay * weights[i]
//   SGD: v = momentum * v + g
//        d = nesterov ? g + momentum * v : v
//   Adam (Kingma, Ba 2014), t = step + 1:
//        m = beta1 * m + (1 - beta1) * g
//        v = beta2 * v + (1 - beta2) * g^2
//        d = m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + epsilon)
//   weights[i] = clip(weights[i] - rate * d, weight_max)
//        with rate = learning_rate * update_scale
// A NaN in the gradient or the weights stays: clipping does not hide it.
// Requires: spans of equal length, state.size() ==
// OptimizerStateNames().size().
void ApplyUpdate(const Optimizer& options, const UpdateArgs& args,
                 std::span<const float> gradient, std::span<float> weights,
                 std::span<const std::span<float>> state);

// Sum of squares of the gradient clipped by value, in double and in a fixed
// order: a block's part of the global norm. NaN if an element is.
double ClippedSquareSum(std::span<const float> gradient, float gradient_max);

}  // namespace terse

#endif  // TERSE_COMMON_OPTIMIZER_OPTIMIZER_H_
