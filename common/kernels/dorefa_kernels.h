// Kernels of DoReFa weights (Zhou et al., arXiv 1606.06160, equation 9):
//   w = 2 q(tanh(r) / (2 M) + 1/2) - 1,  M = tanh(max |r|) of the layer,
//   q(u) = round(n u) / n with n = 2^k - 1, ties to even.
// The tangent is TanhElement's; sums are in double, 32 lanes folded in halves.
#ifndef TERSE_COMMON_KERNELS_DOREFA_KERNELS_H_
#define TERSE_COMMON_KERNELS_DOREFA_KERNELS_H_

#include <cstddef>
#include <cstdint>

namespace terse {

// codes[i] = n q(...), 0..levels. With M = 0 all are those of r = 0; a NaN
// weight gets code 0. Requires: 1 <= levels <= 255.
void DorefaCodes(const float* weights, size_t count, float tanh_max, int levels,
                 uint8_t* codes);

// target[i] = (2 code - levels) / levels, rounded once.
void CodeLevels(const uint8_t* codes, size_t count, int levels, float* target);

// Sum of gradient[i] * tanh(weights[i]).
double TanhDot(const float* weights, const float* gradient, size_t count);

struct DorefaChain {
  float inverse_max = 1;  // 1 / M
  float max_abs = 0;      // max |r|
  // What an element at the maximum takes off for moving M.
  float max_share = 0;
};

// gradient[i] = gradient[i] * inverse_max * (1 - t^2), with t = tanh(r), less
// sign(r) * (1 - t^2) * max_share where |r| = max_abs.
void ApplyDorefaChain(const DorefaChain& chain, const float* weights,
                      size_t count, float* gradient);

// The plain definitions.
namespace reference {

void DorefaCodes(const float* weights, size_t count, float tanh_max, int levels,
                 uint8_t* codes);
void CodeLevels(const uint8_t* codes, size_t count, int levels, float* target);
double TanhDot(const float* weights, const float* gradient, size_t count);
void ApplyDorefaChain(const DorefaChain& chain, const float* weights,
                      size_t count, float* gradient);

}  // namespace reference

}  // namespace terse

#endif  // TERSE_COMMON_KERNELS_DOREFA_KERNELS_H_
