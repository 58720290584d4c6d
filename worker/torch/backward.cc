#include "worker/torch/backward.h"

#include <ATen/Functions.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <utility>

#include "common/base/random.h"
#include "common/base/status.h"

namespace terse {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Variable;
using torch::autograd::variable_list;

std::span<const float> Span(const at::Tensor& row) {
  return {row.data_ptr<float>(), static_cast<size_t>(row.numel())};
}

at::Tensor IndexTensor(const std::vector<int64_t>& indices,
                       const at::Tensor& like) {
  at::Tensor tensor = at::empty({static_cast<int64_t>(indices.size())},
                                at::TensorOptions(at::kLong));
  std::copy(indices.begin(), indices.end(), tensor.data_ptr<int64_t>());
  return tensor.to(like.device());
}

// Samples x outputs on the host: the magnitudes by which outputs are chosen.
at::Tensor Scores(const at::Tensor& upstream) {
  const at::Tensor scores = upstream.abs();
  return (upstream.dim() == 2 ? scores : scores.flatten(2).sum(2))
      .cpu()
      .contiguous();
}

std::vector<int64_t> UnifiedOutputs(const at::Tensor& upstream, int64_t count) {
  const at::Tensor scores = Scores(upstream);
  const int64_t samples = scores.size(0);
  const int64_t outputs = scores.size(1);
  const float* from = scores.data_ptr<float>();
  std::vector<float> sums(static_cast<size_t>(outputs));
  for (int64_t s = 0; s < samples; ++s) {
    for (int64_t o = 0; o < outputs; ++o) sums[o] += from[s * outputs + o];
  }
  return LargestMagnitudes(sums, count);
}

// Samples x count: each sample's own outputs.
std::vector<int64_t> OutputsOfSamples(const at::Tensor& upstream,
                                      int64_t count) {
  const at::Tensor scores = Scores(upstream);
  const auto outputs = static_cast<size_t>(scores.size(1));
  const std::span<const float> all = Span(scores);
  std::vector<int64_t> kept;
  kept.reserve(static_cast<size_t>(scores.size(0) * count));
  for (size_t at = 0; at < all.size(); at += outputs) {
    const std::vector<int64_t> own =
        LargestMagnitudes(all.subspan(at, outputs), count);
    kept.insert(kept.end(), own.begin(), own.end());
  }
  return kept;
}

// `upstream` where an output is kept, else 0.
at::Tensor Masked(const at::Tensor& upstream, int64_t count) {
  const std::vector<int64_t> kept = OutputsOfSamples(upstream, count);
  const int64_t samples = upstream.size(0);
  at::Tensor mask =
      at::zeros({samples, upstream.size(1)}, at::TensorOptions(at::kBool));
  bool* to = mask.data_ptr<bool>();
  for (size_t i = 0; i < kept.size(); ++i) {
    to[static_cast<int64_t>(i) / count * upstream.size(1) + kept[i]] = true;
  }
  mask = mask.to(upstream.device());
  while (mask.dim() < upstream.dim()) mask = mask.unsqueeze(-1);
  return at::where(mask, upstream, at::zeros_like(upstream));
}

// Row kept[i] of `target` is row i of `rows`, the others are zeros.
void SpreadRows(const at::Tensor& rows, const std::vector<int64_t>& kept,
                at::Tensor& target) {
  target.zero_();
  for (size_t i = 0; i < kept.size(); ++i) {
    target.select(0, kept[i]).copy_(rows.select(0, static_cast<int64_t>(i)));
  }
}

struct KeepingLinearFunction
    : torch::autograd::Function<KeepingLinearFunction> {
  static Variable forward(AutogradContext* context, const Variable& x,
                          const Variable& weight,
                          const c10::optional<Variable>& bias, int64_t count,
                          bool unified, at::Tensor* weight_gradient) {
    context->save_for_backward({x, weight});
    context->saved_data["bias"] = bias.has_value();
    context->saved_data["count"] = count;
    context->saved_data["unified"] = unified;
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
    const int64_t count = context->saved_data["count"].toInt();
    const bool needs_x = context->needs_input_grad(0);
    at::Tensor target =
        std::exchange(*reinterpret_cast<at::Tensor*>(static_cast<intptr_t>(
                          context->saved_data["weight_gradient"].toInt())),
                      at::Tensor());
    if (!target.defined()) target = at::empty_like(weight);
    Variable x_gradient;
    if (context->saved_data["unified"].toBool()) {
      const std::vector<int64_t> kept = UnifiedOutputs(upstream, count);
      const at::Tensor indices = IndexTensor(kept, upstream);
      const at::Tensor active = upstream.index_select(1, indices);
      if (needs_x) x_gradient = at::mm(active, weight.index_select(0, indices));
      SpreadRows(at::mm(active.t(), x), kept, target);
    } else if (upstream.is_cpu() && count <= upstream.size(1) / kSparseShare) {
      x_gradient = SparseProducts(x, weight, upstream, count, needs_x, target);
    } else {
      const at::Tensor active = Masked(upstream, count);
      if (needs_x) x_gradient = at::mm(active, weight);
      at::mm_out(target, active.t(), x);
    }
    Variable bias_gradient;
    if (context->saved_data["bias"].toBool()) bias_gradient = upstream.sum(0);
    return {std::move(x_gradient),
            std::move(target),
            std::move(bias_gradient),
            Variable(),
            Variable(),
            Variable()};
  }

 private:
  // A multiplication outside of a matrix product costs about so much more.
  static constexpr int64_t kSparseShare = 16;

  // The gradient of x (if needed) and, in `target`, the weight's, from each
  // sample's own kept outputs, one by one.
  static at::Tensor SparseProducts(const at::Tensor& x,
                                   const at::Tensor& weight,
                                   const at::Tensor& upstream, int64_t count,
                                   bool needs_x, at::Tensor& target) {
    const std::vector<int64_t> kept = OutputsOfSamples(upstream, count);
    const at::Tensor inputs = x.contiguous();
    const at::Tensor weights = weight.contiguous();
    const int64_t width = inputs.size(1);
    at::Tensor x_gradient;
    if (needs_x) x_gradient = at::zeros_like(inputs);
    target.zero_();
    for (int64_t s = 0; s < inputs.size(0); ++s) {
      const float* row = upstream.data_ptr<float>() + s * upstream.size(1);
      for (int64_t k = 0; k < count; ++k) {
        const int64_t output = kept[s * count + k];
        AddMultiple(row[output], inputs.data_ptr<float>() + s * width, width,
                    target.data_ptr<float>() + output * width);
        if (!needs_x) continue;
        AddMultiple(row[output], weights.data_ptr<float>() + output * width,
                    width, x_gradient.data_ptr<float>() + s * width);
      }
    }
    return x_gradient;
  }

  static void AddMultiple(float factor, const float* __restrict from,
                          int64_t count, float* __restrict to) {
    for (int64_t i = 0; i < count; ++i) to[i] += factor * from[i];
  }
};

struct KeepingConvFunction : torch::autograd::Function<KeepingConvFunction> {
  static Variable forward(AutogradContext* context, const Variable& x,
                          const Variable& weight,
                          const c10::optional<Variable>& bias, int64_t stride,
                          int64_t padding, int64_t count, bool unified) {
    context->save_for_backward({x, weight});
    context->saved_data["bias"] = bias.has_value();
    context->saved_data["stride"] = stride;
    context->saved_data["padding"] = padding;
    context->saved_data["count"] = count;
    context->saved_data["unified"] = unified;
    return at::conv2d(x, weight, bias, stride, padding);
  }

  static variable_list backward(AutogradContext* context,
                                const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor& x = saved[0];
    const at::Tensor& weight = saved[1];
    const at::Tensor upstream = gradients[0].contiguous();
    const int64_t count = context->saved_data["count"].toInt();
    const int64_t stride = context->saved_data["stride"].toInt();
    const int64_t padding = context->saved_data["padding"].toInt();
    const auto products = [&](const at::Tensor& active,
                              const at::Tensor& weights) {
      return at::convolution_backward(
          active, x, weights, c10::nullopt, {stride, stride},
          {padding, padding}, {1, 1}, /*transposed=*/false, {0, 0},
          /*groups=*/1,
          {context->needs_input_grad(0), /*weight=*/true, /*bias=*/false});
    };
    Variable x_gradient;
    at::Tensor weight_gradient;
    if (context->saved_data["unified"].toBool()) {
      const std::vector<int64_t> kept = UnifiedOutputs(upstream, count);
      const at::Tensor indices = IndexTensor(kept, upstream);
      const auto [of_x, of_weights, unused] = products(
          upstream.index_select(1, indices), weight.index_select(0, indices));
      x_gradient = of_x;
      weight_gradient = at::empty_like(weight);
      SpreadRows(of_weights, kept, weight_gradient);
    } else {
      std::tie(x_gradient, weight_gradient, std::ignore) =
          products(Masked(upstream, count), weight);
    }
    Variable bias_gradient;
    if (context->saved_data["bias"].toBool()) {
      bias_gradient = upstream.sum({0, 2, 3});
    }
    return {std::move(x_gradient),
            std::move(weight_gradient),
            std::move(bias_gradient),
            Variable(),
            Variable(),
            Variable(),
            Variable()};
  }
};

// With n = 2^bits - 1 steps of 2 m / n from -m to m, value v lies between two
// of them; it goes to the upper one with the probability that keeps its mean.
void RoundAtRandom(std::span<const float> values, float steps, uint64_t key,
                   uint64_t first, float* to) {
  float max = 0;
  for (const float value : values) {
    const float magnitude = std::abs(value);
    if (!(magnitude <= max)) max = magnitude;  // A NaN stays.
  }
  if (max == 0) {
    std::fill(to, to + values.size(), 0.f);
    return;
  }
  for (size_t i = 0; i < values.size(); ++i) {
    const float place = (values[i] / max + 1) * (0.5f * steps);
    const float code = std::floor(place + RandomUnit(key, first + i));
    const float within = code < steps ? code : steps;
    to[i] = (within / steps * 2 - 1) * max;
  }
}

struct GradientFunction : torch::autograd::Function<GradientFunction> {
  static Variable forward(AutogradContext* context, const Variable& x,
                          int64_t bits, int64_t key) {
    context->saved_data["bits"] = bits;
    context->saved_data["key"] = key;
    return x.view_as(x);
  }

  static variable_list backward(AutogradContext* context,
                                const variable_list& gradients) {
    const at::Tensor upstream = gradients[0].cpu().contiguous();
    const auto key = static_cast<uint64_t>(context->saved_data["key"].toInt());
    const auto steps = static_cast<float>(
        (int64_t{1} << context->saved_data["bits"].toInt()) - 1);
    at::Tensor result = at::empty_like(upstream);
    const auto per_sample =
        static_cast<size_t>(upstream.numel() / upstream.size(0));
    const std::span<const float> all = Span(upstream);
    for (size_t first = 0; first < all.size(); first += per_sample) {
      RoundAtRandom(all.subspan(first, per_sample), steps, key, first,
                    result.data_ptr<float>() + first);
    }
    return {result.to(gradients[0].device()), Variable(), Variable()};
  }
};

}  // namespace

std::vector<int64_t> LargestMagnitudes(std::span<const float> values,
                                       int64_t count) {
  TERSE_CHECK(count >= 0 && static_cast<size_t>(count) <= values.size());
  std::vector<int64_t> indices(values.size());
  std::iota(indices.begin(), indices.end(), int64_t{0});
  // The bits of a magnitude rise with it, and those of NaN are above all.
  const auto rank = [values](int64_t i) {
    uint32_t bits;
    std::memcpy(&bits, &values[static_cast<size_t>(i)], sizeof(bits));
    bits &= 0x7fffffffu;
    return std::min(bits, 0x7f800001u);
  };
  const auto end = indices.begin() + count;
  std::nth_element(indices.begin(), end, indices.end(),
                   [&rank](int64_t a, int64_t b) {
                     const uint32_t of_a = rank(a), of_b = rank(b);
                     return of_a != of_b ? of_a > of_b : a < b;
                   });
  indices.erase(end, indices.end());
  std::sort(indices.begin(), indices.end());
  return indices;
}

at::Tensor KeepingLinear(const at::Tensor& x, const at::Tensor& weight,
                         const c10::optional<at::Tensor>& bias,
                         KeptOutputs kept, at::Tensor* weight_gradient) {
  TERSE_CHECK(kept.count >= 1 && kept.count < weight.size(0));
  return KeepingLinearFunction::apply(x, weight, bias, kept.count, kept.unified,
                                      weight_gradient);
}

at::Tensor KeepingConv(const at::Tensor& x, const at::Tensor& weight,
                       const c10::optional<at::Tensor>& bias, int64_t stride,
                       int64_t padding, KeptOutputs kept) {
  TERSE_CHECK(kept.count >= 1 && kept.count < weight.size(0));
  return KeepingConvFunction::apply(x, weight, bias, stride, padding,
                                    kept.count, kept.unified);
}

at::Tensor QuantizeGradient(const at::Tensor& x, uint32_t bits, uint64_t key) {
  TERSE_CHECK(bits >= 1 && bits <= 16);
  return GradientFunction::apply(x, int64_t{bits}, static_cast<int64_t>(key));
}

}  // namespace terse
