// Statistics of weights for scales.
#ifndef TERSE_COMMON_QUANTIZE_STATS_H_
#define TERSE_COMMON_QUANTIZE_STATS_H_

#include <span>

#include "common/kernels/moments.h"
#include "common/quantize/weight_quantizer.h"

namespace terse {

// Largest |w| (NaN if one is), sum of |w|, number of weights.
inline TensorStats AbsoluteStats(std::span<const float> weights) {
  const BlockMoments moments =
      AddAbsoluteSum(weights.data(), weights.size(), nullptr);
  return {.max_abs = moments.max_abs(),
          .sum = moments.sum,
          .count = weights.size()};
}

// Mean of |w|; 0 of nothing.
inline float MeanAbsolute(const TensorStats& stats) {
  if (stats.count == 0) return 0;
  return static_cast<float>(stats.sum / static_cast<double>(stats.count));
}

}  // namespace terse

#endif  // TERSE_COMMON_QUANTIZE_STATS_H_
