// Weights of one bit.
#ifndef TERSE_COMMON_QUANTIZE_BINARY_H_
#define TERSE_COMMON_QUANTIZE_BINARY_H_

#include <cstddef>
#include <memory>

#include "common/quantize/weight_quantizer.h"

namespace terse {

// BinaryConnect (Courbariaux et al. 2015, arXiv 1511.00363): w >= 0 ? 1 : -1,
// or, stochastic, 1 with probability clip((w + 1) / 2, 0, 1).
std::unique_ptr<WeightQuantizer> MakeBinaryConnect(bool stochastic);

// DoReFa's one bit (Zhou et al., arXiv 1606.06160, equation 7):
// sign(w) * mean |w| of the layer, straight-through.
std::unique_ptr<WeightQuantizer> MakeDorefaBinary();

// Binary Weight Network (Rastegari et al., arXiv 1603.05279): sign(w) * a with
// a = mean |w| of the row, n weights. Its gradient is exact but for the sign:
//   dL/dw_i = a g_i [|w_i| <= 1] + sign(w_i) / n * sum_j g_j sign(w_j)
// With `paper_gradient` it is what the paper prints, which keeps but the
// diagonal of the second term: dL/dw_i = g_i (1 / n + a [|w_i| <= 1]).
// Requires: row_elements > 0.
std::unique_ptr<WeightQuantizer> MakeBwn(size_t row_elements,
                                         bool paper_gradient);

}  // namespace terse

#endif  // TERSE_COMMON_QUANTIZE_BINARY_H_
