// What becomes of the weights after an optimizer's update, apart from clipping.
#ifndef TERSE_COMMON_QUANTIZE_TRAINING_RULE_H_
#define TERSE_COMMON_QUANTIZE_TRAINING_RULE_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "common/quantize/weight_quantizer.h"

namespace terse {

// Training rules without shadow weights (Li et al. 2017, arXiv 1706.02379), for
// a grid of step D. A weight on the grid stays as it is; NaN stays NaN; beyond
// grid.max a weight becomes the outermost.
//
// R: sign(w) D floor(|w| / D + 1/2), or on a grid without zero the nearest, of
// 0 D / 2. Steps below D / 2 are lost.
void RoundToGrid(const WeightGrid& grid, std::span<float> weights);

// SR: D (floor(w / D) + [u < w / D - floor(w / D)]) with u uniform in [0, 1),
// element i drawing RandomUnit(key, first_index + i); shifted by D / 2 on a
// grid without zero. The mean is w, the variance D^2 f (1 - f) with f the
// fraction.
void RoundToGridAtRandom(const WeightGrid& grid, uint64_t key,
                         uint64_t first_index, std::span<float> weights);

// Takes from every weight of a row [channels, positions] the mean over the
// channels at its position, as the code of XNOR-Net does. Requires:
// weights.size() is a multiple of channels * positions > 0.
void CenterChannels(size_t channels, size_t positions,
                    std::span<float> weights);

// Clips to [-max, max]; NaN stays.
void ClipWeights(float max, std::span<float> weights);

}  // namespace terse

#endif  // TERSE_COMMON_QUANTIZE_TRAINING_RULE_H_
