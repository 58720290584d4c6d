// Layers whose backward pass takes less than the whole output gradient: the
// largest of it (meProp, Sun et al. 2017, 1706.06197), or k bits of it (DoReFa,
// Zhou et al. 2016, 1606.06160, eq. 12). Forward passes are as without. On any
// device.
#ifndef TERSE_WORKER_TORCH_BACKWARD_H_
#define TERSE_WORKER_TORCH_BACKWARD_H_

#include <ATen/core/Tensor.h>
#include <c10/util/Optional.h>

#include <cstdint>
#include <span>
#include <vector>

namespace terse {

struct KeptOutputs {
  int64_t count = 0;  // Of a layer's outputs; at least 1, fewer than all.
  // The same outputs for the whole mini-batch, by the sum over it of the
  // gradients' magnitudes; else each sample its own.
  bool unified = false;
};

// The indices of the `count` largest magnitudes, rising. NaN is larger than
// everything; of equals the first are taken. Requires: count <= size.
std::vector<int64_t> LargestMagnitudes(std::span<const float> values,
                                       int64_t count);

// x weight^T + bias for x of samples x inputs. Backward, the gradients of x and
// of the weight are computed from the kept outputs' gradients alone, that of
// the bias from all, as the authors' code does. With `unified`, rows of the
// weight's gradient that are not kept are zero, and products have `count` rows
// instead of all. `weight_gradient`: see Linear in functions.h.
at::Tensor KeepingLinear(const at::Tensor& x, const at::Tensor& weight,
                         const c10::optional<at::Tensor>& bias,
                         KeptOutputs kept, at::Tensor* weight_gradient);

// The same of a convolution, whose outputs are its channels: a channel's
// magnitude is the sum over its picture.
at::Tensor KeepingConv(const at::Tensor& x, const at::Tensor& weight,
                       const c10::optional<at::Tensor>& bias, int64_t stride,
                       int64_t padding, KeptOutputs kept);

// x. Backward, each sample's gradient is rounded at random to one of 2^bits
// equal steps from -m to m, m being its largest magnitude, so that the
// expectation is the gradient; a sample of zeros stays zeros. Draws are of
// (key, element). Requires: 1 <= bits <= 16.
at::Tensor QuantizeGradient(const at::Tensor& x, uint32_t bits, uint64_t key);

}  // namespace terse

#endif  // TERSE_WORKER_TORCH_BACKWARD_H_
