// Vector kernels of the optimizer: one pass over memory, the same bits on every
// instruction set. optimizer_math.h defines what they compute. In all of them
// the spans are of equal length and do not overlap.
#ifndef TERSE_COMMON_KERNELS_OPTIMIZER_KERNELS_H_
#define TERSE_COMMON_KERNELS_OPTIMIZER_KERNELS_H_

#include <span>

#include "common/kernels/optimizer_math.h"

namespace terse {

// SGD without momentum.
void SgdUpdate(const SgdConstants& constants, std::span<const float> gradient,
               std::span<float> weights);

void MomentumUpdate(const SgdConstants& constants, bool nesterov,
                    std::span<const float> gradient, std::span<float> weights,
                    std::span<float> momentum);

void AdamUpdate(const AdamConstants& constants, std::span<const float> gradient,
                std::span<float> weights, std::span<float> m,
                std::span<float> v);

// Sum of the squares of the values clipped to [-bound, bound]; NaN if one is.
double ClippedSquares(std::span<const float> values, float bound);

// The plain definitions.
namespace reference {

void SgdUpdate(const SgdConstants& constants, std::span<const float> gradient,
               std::span<float> weights);

void MomentumUpdate(const SgdConstants& constants, bool nesterov,
                    std::span<const float> gradient, std::span<float> weights,
                    std::span<float> momentum);

void AdamUpdate(const AdamConstants& constants, std::span<const float> gradient,
                std::span<float> weights, std::span<float> m,
                std::span<float> v);

double ClippedSquares(std::span<const float> values, float bound);

}  // namespace reference

}  // namespace terse

#endif  // TERSE_COMMON_KERNELS_OPTIMIZER_KERNELS_H_
