// Weights on a fixed set of levels times one scale for the layer; all
// straight-through.
#ifndef TERSE_COMMON_QUANTIZE_SCALED_H_
#define TERSE_COMMON_QUANTIZE_SCALED_H_

#include <memory>

#include "common/quantize/weight_quantizer.h"

namespace terse {

// Symmetric, n = 2^(bits - 1) - 1 steps to either side, step s = max |w| / n:
// s * q with q = floor(w / s + 1/2) within [-n, n]. With `max` > 0 that stands
// in place of max |w|, and the weights have a grid. Requires: 2 <= bits <= 8.
std::unique_ptr<WeightQuantizer> MakeUniform(int bits, float max);

// Block floating point (flex16+5 of Koester et al., arXiv 1711.02213, with
// fewer bits): the uniform code with the least power of two s >= max |w| / n,
// one exponent for the layer. Requires: 2 <= bits <= 8.
std::unique_ptr<WeightQuantizer> MakeFlexpoint(int bits);

// The leading one of the uniform code: q = 21 becomes 16, 6 becomes 4. Zero and
// +-2^e for e = 0 ... bits - 2 travel in ceil(log2(2 bits - 1)) bits.
// Requires: 2 <= bits <= 8.
std::unique_ptr<WeightQuantizer> MakeLogarithmic(int bits);

// He et al., arXiv 1611.10176: s = 2.5 mean |w|, n = 2^bits - 1,
// s * (round(n (clip(w / s, -1/2, 1/2) + 1/2)) / n - 1/2), ties to even.
// MEDIAN takes the same levels by rank (Zhou et al., arXiv 1706.07145): the
// weights of a block are parted at their median, the halves at theirs, and so
// on; a weight that equals a median is above it. UNBALANCED has s = 2 max |w|.
// Requires: 1 <= bits <= 8.
std::unique_ptr<WeightQuantizer> MakeBalanced(
    int bits, WeightQuantization::Balance balance = WeightQuantization::MEAN);

}  // namespace terse

#endif  // TERSE_COMMON_QUANTIZE_SCALED_H_
