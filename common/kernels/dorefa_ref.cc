#include <cmath>

#include "common/kernels/dorefa_kernels.h"
#include "common/kernels/moments.h"
#include "common/kernels/tanh_math.h"

namespace terse::reference {

void DorefaCodes(const float* weights, size_t count, float tanh_max, int levels,
                 uint8_t* codes) {
  // 0 / 1 instead of 0 / 0.
  const float range = tanh_max > 0 ? 2 * tanh_max : 1;
  const float top = static_cast<float>(levels);
  for (size_t i = 0; i < count; ++i) {
    const float unit = TanhElement(weights[i]) / range + 0.5f;
    // Adding 2^23 leaves no place for a fraction: the sum rounds half to even.
    float code = (unit * top + 0x1p23f) - 0x1p23f;
    code = code >= 0 ? code : 0;
    code = code > top ? top : code;
    codes[i] = static_cast<uint8_t>(code);
  }
}

void CodeLevels(const uint8_t* codes, size_t count, int levels, float* target) {
  const float top = static_cast<float>(levels);
  for (size_t i = 0; i < count; ++i) {
    target[i] = static_cast<float>(2 * codes[i] - levels) / top;
  }
}

double TanhDot(const float* weights, const float* gradient, size_t count) {
  double sums[kMomentLanes] = {};
  for (size_t i = 0; i < count; ++i) {
    sums[i % kMomentLanes] +=
        double{gradient[i]} * double{TanhElement(weights[i])};
  }
  return FoldLanes(sums);
}

void ApplyDorefaChain(const DorefaChain& chain, const float* weights,
                      size_t count, float* gradient) {
  for (size_t i = 0; i < count; ++i) {
    const float t = TanhElement(weights[i]);
    const float slope = (1 - t) * (1 + t);
    const float signed_share =
        weights[i] < 0 ? -chain.max_share : chain.max_share;
    const float share =
        std::fabs(weights[i]) == chain.max_abs ? signed_share : 0.0f;
    gradient[i] = slope * (gradient[i] * chain.inverse_max - share);
  }
}

}  // namespace terse::reference
