// Quantized activations as autograd functions: forward the quantized values,
// backward what their papers have. On any device.
#ifndef TERSE_WORKER_TORCH_ACTIVATIONS_H_
#define TERSE_WORKER_TORCH_ACTIVATIONS_H_

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "proto/job.pb.h"

namespace terse {

// sign(x) with sign(0) = +1; the gradient passes where |x| <= 1, both ends
// included (Hubara et al. 2016, 1602.02830).
at::Tensor BinarySign(const at::Tensor& x);

// clip(x, 0, 1) rounded, halves to even, to a multiple of 1 / (2^bits - 1); the
// gradient passes where 0 <= x <= 1 (Zhou et al. 2016, 1606.06160).
// Requires: 1 <= bits <= 16.
at::Tensor DorefaActivation(const at::Tensor& x, uint32_t bits);

// clip(x, 0, c) rounded, halves to even, to a multiple of c / (2^bits - 1). The
// gradient passes to x where 0 < x < c and to c where x >= c; c's also has the
// penalty's 2 decay c, so that the loss has decay c^2 added (Choi et al. 2018,
// 1805.06085). A clip below 1e-3 counts as that. `clip` has one element.
// Requires: 1 <= bits <= 16.
at::Tensor PactActivation(const at::Tensor& x, const at::Tensor& clip,
                          uint32_t bits, float decay);

// 0 where x <= 0, else the nearest of delta, 2 delta, ... (2^bits - 1) delta,
// the smaller of two that are as near; delta is the best for x from N(0, 1)
// (Cai et al. 2017, 1702.00953). With q the largest level, the gradient passes
// where 0 < x <= q (clipped), 0 < x (vanilla), or 0 < x with the factor
// 1 / (x - q + 1) above q (log-tailed).
// Requires: 1 <= bits <= 4.
at::Tensor HwgqActivation(const at::Tensor& x, uint32_t bits,
                          ActivationQuantization::Backward backward);

// The nearest multiple of max / (2^(bits - 1) - 1), halves upwards, of
// clip(x, -max, max); the gradient passes where |x| <= max.
// Requires: 2 <= bits <= 16, max > 0.
at::Tensor UniformActivation(const at::Tensor& x, uint32_t bits, float max);

// clip(x, -1, 1) rounded, halves to even, to one of 2^bits levels that are
// equally far apart from -1 to 1: the levels of He et al. 2016 (1611.10176),
// which are from 0 to 1, laid over the range of an LSTM's state. The gradient
// passes where |x| <= 1. Requires: 1 <= bits <= 16.
at::Tensor SymmetricActivation(const at::Tensor& x, uint32_t bits);

// XNOR-Net's K (Rastegari et al. 2016, 1603.05279) of samples x channels x
// height x width: the mean over the channels of |x|, and of that the mean over
// each window, the padding's zeros included; samples x 1 x height' x width'.
// Differentiable.
at::Tensor WindowMagnitudes(const at::Tensor& x, int64_t kernel, int64_t stride,
                            int64_t padding);

// The same of a linear layer's input: the mean of each sample's |x|, samples x
// 1.
at::Tensor SampleMagnitudes(const at::Tensor& x);

}  // namespace terse

#endif  // TERSE_WORKER_TORCH_ACTIVATIONS_H_
