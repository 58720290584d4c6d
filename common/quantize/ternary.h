// Ternary weights.
#ifndef TERSE_COMMON_QUANTIZE_TERNARY_H_
#define TERSE_COMMON_QUANTIZE_TERNARY_H_

#include <cstddef>
#include <memory>

#include "common/quantize/weight_quantizer.h"

namespace terse {

// Ternary Weight Networks (Li, Zhang, Liu, arXiv 1605.04711), per row: with
// D = 0.75 mean |w|, a weight beyond D becomes a = mean |w| of those beyond,
// one below -D becomes -a, the others 0. Straight-through. A row of zeros has
// a = 0. Requires: row_elements > 0.
std::unique_ptr<WeightQuantizer> MakeTwn(size_t row_elements);

// Trained Ternary Quantization (Zhu et al., arXiv 1612.01064): with D =
// threshold * max |w| of the layer, a weight beyond D becomes a, one below -D
// becomes -b, the others 0. a and b are learned: dL/da is the sum of the
// gradients of the weights that are a, dL/db minus that of those that are -b.
// The gradient of a shadow weight is scaled by a, b or 1 alike.
std::unique_ptr<WeightQuantizer> MakeTtq(float threshold);

}  // namespace terse

#endif  // TERSE_COMMON_QUANTIZE_TERNARY_H_
