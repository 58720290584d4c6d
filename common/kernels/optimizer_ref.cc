#include <cstddef>

#include "common/kernels/optimizer_kernels.h"

namespace terse::reference {

void SgdUpdate(const SgdConstants& constants, std::span<const float> gradient,
               std::span<float> weights) {
  for (size_t i = 0; i < weights.size(); ++i) {
    SgdElement(constants, gradient[i], weights[i]);
  }
}

void MomentumUpdate(const SgdConstants& constants, bool nesterov,
                    std::span<const float> gradient, std::span<float> weights,
                    std::span<float> momentum) {
  for (size_t i = 0; i < weights.size(); ++i) {
    MomentumElement(constants, nesterov, gradient[i], weights[i], momentum[i]);
  }
}

void AdamUpdate(const AdamConstants& constants, std::span<const float> gradient,
                std::span<float> weights, std::span<float> m,
                std::span<float> v) {
  for (size_t i = 0; i < weights.size(); ++i) {
    AdamElement(constants, gradient[i], weights[i], m[i], v[i]);
  }
}

double ClippedSquares(std::span<const float> values, float bound) {
  double sums[kSumLanes] = {};
  for (size_t i = 0; i < values.size(); ++i) {
    const double x = ClipElement(values[i], bound);
    sums[i % kSumLanes] += x * x;
  }
  return FoldSums(sums);
}

}  // namespace terse::reference
