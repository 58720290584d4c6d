// Autograd functions that torch does not have, or not as fast.
#ifndef TERSE_WORKER_TORCH_FUNCTIONS_H_
#define TERSE_WORKER_TORCH_FUNCTIONS_H_

#include <ATen/core/Tensor.h>
#include <c10/util/Optional.h>

#include <cstdint>
#include <functional>

namespace terse {

// Is told that the first `rows` rows of a gradient are final.
using RowsHook = std::function<void(const at::Tensor& gradient, int64_t rows)>;

// x weight^T + bias, as at::linear; x is samples x inputs. The gradient of the
// weight is written to `*weight_gradient` if that has the weight's shape, and
// the tensor moved on from there: the memory of a large gradient, put back
// between steps, is not taken from the system anew each time. Backward computes
// it before that of x, a large one by rows, of which `*on_rows` is told if it
// is not null; it must live as long as the graph.
at::Tensor Linear(const at::Tensor& x, const at::Tensor& weight,
                  const c10::optional<at::Tensor>& bias,
                  at::Tensor* weight_gradient,
                  const RowsHook* on_rows = nullptr);

// Batch norm of samples x channels on the batch's own statistics, as
// at::batch_norm in training, which takes the columns one by one. Updates the
// running statistics in place. Requires: two samples at least; scale and shift
// both or neither.
at::Tensor BatchNormRows(const at::Tensor& x,
                         const c10::optional<at::Tensor>& scale,
                         const c10::optional<at::Tensor>& shift,
                         at::Tensor running_mean, at::Tensor running_var,
                         double momentum, double epsilon);

}  // namespace terse

#endif  // TERSE_WORKER_TORCH_FUNCTIONS_H_
