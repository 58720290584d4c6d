// DoReFa weights of 2 to 8 bits.
#ifndef TERSE_COMMON_QUANTIZE_DOREFA_H_
#define TERSE_COMMON_QUANTIZE_DOREFA_H_

#include <memory>

#include "common/quantize/weight_quantizer.h"

namespace terse {

// Zhou et al., arXiv 1606.06160, equation 9, t = tanh(r), M = max |t| of the
// layer, n = 2^bits - 1:
//   w = 2 q(t / (2 M) + 1/2) - 1,  q(u) = round(n u) / n, half to even.
// Only the rounding is straight-through; tanh and maximum are differentiated:
//   dL/dr_i = (1 - t_i^2) / M * (g_i - [i at the maximum] sign(t_i) / (M c)
//             * sum_j g_j t_j)
// where the c elements with |r| = max |r| share the maximum equally, so that
// the result does not depend on how the tensor is cut. M = 0 (all weights zero,
// or too small to divide by) passes the gradient as it is. Statistics: of
// weights, max_abs = max |r|; of gradients, sum = sum of g t and count = c.
// Requires: 2 <= bits <= 8.
std::unique_ptr<WeightQuantizer> MakeDorefa(int bits);

}  // namespace terse

#endif  // TERSE_COMMON_QUANTIZE_DOREFA_H_
