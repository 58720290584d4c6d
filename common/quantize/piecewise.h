// Piecewise linear quantization.
#ifndef TERSE_COMMON_QUANTIZE_PIECEWISE_H_
#define TERSE_COMMON_QUANTIZE_PIECEWISE_H_

#include <memory>

#include "common/quantize/weight_quantizer.h"

namespace terse {

// PWLQ with one breakpoint and regions that do not overlap (Fang et al., arXiv
// 2002.00104). With m = max |w|, s the root mean square of the layer and
//   p = s ln(0.86143114 m / s + 0.607901097),
// the optimum for Gaussian weights, [-p, p] has 2^bits - 1 equidistant weights
// and each of [p, m] and [-m, -p] has 2^(bits - 1). A weight is rounded to the
// nearest of its region; one of magnitude p belongs to the outer. A code takes
// bits + 1 bits. Straight-through. Requires: 2 <= bits <= 7.
std::unique_ptr<WeightQuantizer> MakePiecewise(int bits);

}  // namespace terse

#endif  // TERSE_COMMON_QUANTIZE_PIECEWISE_H_
