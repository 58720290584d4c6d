#include "worker/torch/functions.h"

#include <ATen/Functions.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "common/base/status.h"

namespace terse {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Variable;
using torch::autograd::variable_list;

// A gradient is written in parts of so many elements, so that the first leave
// while the next are computed; the parts are large enough for a matrix product.
constexpr int64_t kPartElements = int64_t{1} << 20;

// Writes upstream^T x to `target`, row by row.
void WeightGradient(const at::Tensor& upstream, const at::Tensor& x,
                    const RowsHook* on_rows, at::Tensor& target) {
  const int64_t rows = target.size(0);
  const int64_t part =
      std::max<int64_t>(1, kPartElements / std::max<int64_t>(1, x.size(1)));
  if (rows <= part) {
    at::mm_out(target, upstream.t(), x);
    return;
  }
  for (int64_t first = 0; first < rows; first += part) {
    const int64_t count = std::min(part, rows - first);
    at::Tensor piece = target.narrow(0, first, count);
    at::mm_out(piece, upstream.narrow(1, first, count).t(), x);
    if (on_rows != nullptr) (*on_rows)(target, first + count);
  }
}

struct LinearFunction : torch::autograd::Function<LinearFunction> {
  static Variable forward(AutogradContext* context, const Variable& x,
                          const Variable& weight,
                          const c10::optional<Variable>& bias,
                          at::Tensor* weight_gradient,
                          const RowsHook* on_rows) {
    context->save_for_backward({x, weight});
    context->saved_data["on_rows"] =
        static_cast<int64_t>(reinterpret_cast<intptr_t>(on_rows));
    context->saved_data["bias"] = bias.has_value();
    context->saved_data["weight_gradient"] =
        static_cast<int64_t>(reinterpret_cast<intptr_t>(weight_gradient));
    return bias.has_value() ? at::addmm(*bias, x, weight.t())
                            : at::mm(x, weight.t());
  }

  static variable_list backward(AutogradContext* context,
                                const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor& x = saved[0];
    const at::Tensor& weight = saved[1];
    const at::Tensor upstream = gradients[0].contiguous();
    at::Tensor target =
        std::exchange(*reinterpret_cast<at::Tensor*>(static_cast<intptr_t>(
                          context->saved_data["weight_gradient"].toInt())),
                      at::Tensor());
    if (!target.defined()) target = at::empty_like(weight);
    WeightGradient(upstream, x,
                   reinterpret_cast<const RowsHook*>(static_cast<intptr_t>(
                       context->saved_data["on_rows"].toInt())),
                   target);
    Variable x_gradient;
    if (context->needs_input_grad(0)) x_gradient = at::mm(upstream, weight);
    Variable bias_gradient;
    if (context->saved_data["bias"].toBool()) bias_gradient = upstream.sum(0);
    return {std::move(x_gradient), std::move(target), std::move(bias_gradient),
            Variable(), Variable()};
  }
};

// target[c] += source[r][c] * factor[r][c] over the rows, in their order. Sums
// are in double, as torch has them.
void AddColumnProducts(const float* source, const float* factor, int64_t rows,
                       int64_t columns, double* target) {
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < columns; ++c) {
      target[c] += double{source[r * columns + c]} * factor[r * columns + c];
    }
  }
}

void AddColumns(const float* source, int64_t rows, int64_t columns,
                double* target) {
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < columns; ++c) target[c] += source[r * columns + c];
  }
}

struct BatchNormFunction : torch::autograd::Function<BatchNormFunction> {
  static Variable forward(AutogradContext* context, const Variable& input,
                          const c10::optional<Variable>& scale,
                          const c10::optional<Variable>& shift,
                          float* running_mean, float* running_var,
                          double momentum, double epsilon) {
    const at::Tensor x = input.contiguous();
    const int64_t rows = x.size(0);
    const int64_t columns = x.size(1);
    at::Tensor normal = at::empty_like(x);
    const at::Tensor gammas = scale ? *scale : at::ones({columns}, x.options());
    const at::Tensor betas = shift ? *shift : at::zeros({columns}, x.options());
    at::Tensor inverse_sigma = at::empty_like(gammas);
    const float* from = x.data_ptr<float>();
    float* to = normal.data_ptr<float>();
    float* inverse = inverse_sigma.data_ptr<float>();

    const double n = static_cast<double>(rows);
    const auto width = static_cast<size_t>(columns);
    std::vector<double> sums(width);
    AddColumns(from, rows, columns, sums.data());
    std::vector<float> means(width);
    for (int64_t c = 0; c < columns; ++c) {
      means[c] = static_cast<float>(sums[c] / n);
    }
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t c = 0; c < columns; ++c) {
        to[r * columns + c] = from[r * columns + c] - means[c];
      }
    }
    std::fill(sums.begin(), sums.end(), 0.0);
    AddColumnProducts(to, to, rows, columns, sums.data());
    for (int64_t c = 0; c < columns; ++c) {
      inverse[c] = static_cast<float>(1 / std::sqrt(sums[c] / n + epsilon));
      running_mean[c] = static_cast<float>((1 - momentum) * running_mean[c] +
                                           momentum * means[c]);
      running_var[c] = static_cast<float>((1 - momentum) * running_var[c] +
                                          momentum * sums[c] / (n - 1));
    }
    at::Tensor result = at::empty_like(x);
    float* out = result.data_ptr<float>();
    const float* gamma = gammas.data_ptr<float>();
    const float* beta = betas.data_ptr<float>();
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t c = 0; c < columns; ++c) {
        const int64_t i = r * columns + c;
        to[i] *= inverse[c];
        out[i] = to[i] * gamma[c] + beta[c];
      }
    }
    context->save_for_backward({normal, inverse_sigma, gammas});
    context->saved_data["affine"] = scale.has_value();
    return result;
  }

  static variable_list backward(AutogradContext* context,
                                const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor upstream = gradients[0].contiguous();
    const int64_t rows = upstream.size(0);
    const int64_t columns = upstream.size(1);
    const float* from = upstream.data_ptr<float>();
    const float* normal = saved[0].data_ptr<float>();
    const auto width = static_cast<size_t>(columns);
    std::vector<double> shift_sums(width);
    std::vector<double> scale_sums(width);
    AddColumns(from, rows, columns, shift_sums.data());
    AddColumnProducts(from, normal, rows, columns, scale_sums.data());
    Variable scale_gradient, shift_gradient;
    if (context->saved_data["affine"].toBool()) {
      scale_gradient = at::empty_like(saved[1]);
      shift_gradient = at::empty_like(saved[1]);
      std::copy(scale_sums.begin(), scale_sums.end(),
                scale_gradient.data_ptr<float>());
      std::copy(shift_sums.begin(), shift_sums.end(),
                shift_gradient.data_ptr<float>());
    }
    Variable x_gradient;
    if (context->needs_input_grad(0)) {
      x_gradient = at::empty_like(upstream);
      InputGradient(rows, columns, from, normal, saved[1], saved[2], scale_sums,
                    shift_sums, x_gradient.data_ptr<float>());
    }
    return {x_gradient, scale_gradient, shift_gradient, Variable(),
            Variable(), Variable(),     Variable()};
  }

 private:
  // dx = gamma / sigma * (dy - mean(dy) - normal * mean(dy * normal)).
  static void InputGradient(int64_t rows, int64_t columns, const float* from,
                            const float* normal,
                            const at::Tensor& inverse_sigma,
                            const at::Tensor& scale,
                            const std::vector<double>& scale_sums,
                            const std::vector<double>& shift_sums, float* to) {
    const float* inverse = inverse_sigma.data_ptr<float>();
    const float* gamma = scale.data_ptr<float>();
    const auto width = static_cast<size_t>(columns);
    std::vector<float> factor(width), mean(width), slope(width);
    for (int64_t c = 0; c < columns; ++c) {
      factor[c] = gamma[c] * inverse[c];
      mean[c] = static_cast<float>(shift_sums[c] / double(rows));
      slope[c] = static_cast<float>(scale_sums[c] / double(rows));
    }
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t c = 0; c < columns; ++c) {
        const int64_t i = r * columns + c;
        to[i] = factor[c] * (from[i] - mean[c] - normal[i] * slope[c]);
      }
    }
  }
};

}  // namespace

at::Tensor Linear(const at::Tensor& x, const at::Tensor& weight,
                  const c10::optional<at::Tensor>& bias,
                  at::Tensor* weight_gradient, const RowsHook* on_rows) {
  return LinearFunction::apply(x, weight, bias, weight_gradient, on_rows);
}

at::Tensor BatchNormRows(const at::Tensor& x,
                         const c10::optional<at::Tensor>& scale,
                         const c10::optional<at::Tensor>& shift,
                         at::Tensor running_mean, at::Tensor running_var,
                         double momentum, double epsilon) {
  TERSE_CHECK(x.dim() == 2 && x.size(0) >= 2);
  TERSE_CHECK(scale.has_value() == shift.has_value());
  return BatchNormFunction::apply(
      x, scale, shift, running_mean.data_ptr<float>(),
      running_var.data_ptr<float>(), momentum, epsilon);
}

}  // namespace terse
