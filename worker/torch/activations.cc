#include "worker/torch/activations.h"

#include <ATen/Functions.h>
#include <torch/csrc/autograd/custom_function.h>

#include <array>
#include <cmath>
#include <limits>
#include <utility>

#include "common/base/status.h"

namespace terse {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Variable;
using torch::autograd::variable_list;

// A new tensor of x's shape with function(x[i]) as its elements.
template <typename Function>
at::Tensor Map(const at::Tensor& x, Function function) {
  const at::Tensor source = x.contiguous();
  at::Tensor result = at::empty_like(source);
  const float* from = source.data_ptr<float>();
  float* to = result.data_ptr<float>();
  const int64_t count = source.numel();
  for (int64_t i = 0; i < count; ++i) to[i] = function(from[i]);
  return result;
}

// gradient[i] * function(x[i]); a factor of 0 gives 0 whatever the gradient.
template <typename Function>
at::Tensor MapGradient(const at::Tensor& gradient, const at::Tensor& x,
                       Function function) {
  const at::Tensor upstream = gradient.contiguous();
  const at::Tensor inputs = x.contiguous();
  at::Tensor result = at::empty_like(upstream);
  const float* from = upstream.data_ptr<float>();
  const float* at = inputs.data_ptr<float>();
  float* to = result.data_ptr<float>();
  const int64_t count = upstream.numel();
  for (int64_t i = 0; i < count; ++i) to[i] = function(from[i], at[i]);
  return result;
}

// `gradient` where low <= x <= high, else 0.
at::Tensor PassWithin(const at::Tensor& gradient, const at::Tensor& x,
                      float low, float high) {
  if (!x.is_cpu()) {
    return at::where(at::logical_and(x.ge(low), x.le(high)), gradient,
                     at::zeros_like(gradient));
  }
  return MapGradient(gradient, x, [low, high](float g, float v) {
    return (v >= low) & (v <= high) ? g : 0.f;
  });
}

// Rounds halves to even, for magnitudes below 2^22: adding 1.5 * 2^23 leaves no
// bits for a fraction.
inline float RoundHalfEven(float v) {
  constexpr float kShift = 12582912;
  return (v + kShift) - kShift;
}

struct SignFunction : torch::autograd::Function<SignFunction> {
  static Variable forward(AutogradContext* context, const Variable& x) {
    context->save_for_backward({x});
    if (!x.is_cpu()) {
      return at::where(x.ge(0), at::ones_like(x), at::full_like(x, -1));
    }
    return Map(x, [](float v) { return v >= 0 ? 1.f : -1.f; });
  }
  static variable_list backward(AutogradContext* context,
                                const variable_list& gradients) {
    return {PassWithin(gradients[0], context->get_saved_variables()[0], -1, 1)};
  }
};

struct SymmetricFunction : torch::autograd::Function<SymmetricFunction> {
  static Variable forward(AutogradContext* context, const Variable& x,
                          float levels) {
    context->save_for_backward({x});
    if (!x.is_cpu()) {
      return at::round(x.clamp(-1, 1).add(1).mul(0.5 * levels))
          .mul(2)
          .div(levels)
          .sub(1);
    }
    return Map(x, [levels](float v) {
      const float clipped = v > -1 ? (v < 1 ? v : 1.f) : -1.f;
      const float code = RoundHalfEven((clipped + 1) * (0.5f * levels));
      return code * 2 / levels - 1;
    });
  }
  static variable_list backward(AutogradContext* context,
                                const variable_list& gradients) {
    return {PassWithin(gradients[0], context->get_saved_variables()[0], -1, 1),
            Variable()};
  }
};

struct DorefaFunction : torch::autograd::Function<DorefaFunction> {
  static Variable forward(AutogradContext* context, const Variable& x,
                          float levels) {
    context->save_for_backward({x});
    if (!x.is_cpu()) return at::round(x.clamp(0, 1).mul(levels)).div(levels);
    return Map(x, [levels](float v) {
      const float clipped = v > 0 ? (v < 1 ? v : 1.f) : 0.f;
      return RoundHalfEven(clipped * levels) / levels;
    });
  }
  static variable_list backward(AutogradContext* context,
                                const variable_list& gradients) {
    return {PassWithin(gradients[0], context->get_saved_variables()[0], 0, 1),
            Variable()};
  }
};

constexpr float kClipMin = 1e-3f;

float ClipOf(const at::Tensor& clip) {
  const float value = clip.item<float>();
  return value < kClipMin ? kClipMin : value;
}

struct PactFunction : torch::autograd::Function<PactFunction> {
  static Variable forward(AutogradContext* context, const Variable& x,
                          const Variable& clip, float levels, float decay) {
    context->save_for_backward({x, clip});
    context->saved_data["decay"] = double{decay};
    const float max = ClipOf(clip);
    if (!x.is_cpu()) {
      return at::round(x.clamp(0, max).mul(levels).div(max))
          .mul(max)
          .div(levels);
    }
    return Map(x, [levels, max](float v) {
      const float clipped = v > 0 ? (v < max ? v : max) : 0.f;
      return RoundHalfEven(clipped * levels / max) * max / levels;
    });
  }

  static variable_list backward(AutogradContext* context,
                                const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor& x = saved[0];
    const float clip = saved[1].item<float>();
    const float max = ClipOf(saved[1]);
    const double decay = context->saved_data["decay"].toDouble();
    const double penalty = 2 * decay * double{clip};
    const auto gradient_of_clip = [&](double sum) {
      return at::full_like(saved[1], static_cast<float>(sum + penalty));
    };
    if (!x.is_cpu()) {
      const at::Tensor zeros = at::zeros_like(gradients[0]);
      const at::Tensor above = at::where(x.ge(max), gradients[0], zeros);
      return {
          at::where(at::logical_and(x.gt(0), x.lt(max)), gradients[0], zeros),
          gradient_of_clip(above.sum(at::kDouble).item<double>()), Variable(),
          Variable()};
    }
    double sum = 0;  // In the elements' order, whatever the threads.
    at::Tensor passed =
        MapGradient(gradients[0], x, [max, &sum](float g, float v) {
          sum += v >= max ? double{g} : 0.0;
          return (v > 0) & (v < max) ? g : 0.f;
        });
    return {std::move(passed), gradient_of_clip(sum), Variable(), Variable()};
  }
};

// The distance of the levels: for one level E[x | x > 0] of the normal
// distribution, for more the authors' numbers.
float HwgqDelta(uint32_t bits) {
  constexpr std::array kDeltas = {0.79788456f, 0.538f, 0.3218f, 0.1813f};
  TERSE_CHECK(bits >= 1 && bits <= kDeltas.size());
  return kDeltas[bits - 1];
}

struct HwgqFunction : torch::autograd::Function<HwgqFunction> {
  static Variable forward(AutogradContext* context, const Variable& x,
                          float levels, float delta, int64_t backward) {
    context->save_for_backward({x});
    context->saved_data["max"] = double{levels * delta};
    context->saved_data["backward"] = backward;
    if (!x.is_cpu()) {
      const at::Tensor positive =
          at::ceil(x.div(delta).sub(0.5)).clamp(1, levels).mul(delta);
      return at::where(x.gt(0), positive, at::zeros_like(x));
    }
    return Map(x, [levels, delta](float v) {
      float code = std::ceil(v / delta - 0.5f);
      code = code < levels ? code : levels;
      code = code > 1 ? code : 1.f;
      return v > 0 ? code * delta : 0.f;
    });
  }

  static variable_list backward(AutogradContext* context,
                                const variable_list& gradients) {
    const at::Tensor x = context->get_saved_variables()[0];
    const auto max = static_cast<float>(context->saved_data["max"].toDouble());
    const int64_t kind = context->saved_data["backward"].toInt();
    const bool clipped = kind == ActivationQuantization::CLIPPED;
    const bool tailed = kind == ActivationQuantization::LOG_TAILED;
    if (!x.is_cpu()) {
      const at::Tensor zeros = at::zeros_like(gradients[0]);
      at::Tensor passed = at::where(x.gt(0), gradients[0], zeros);
      if (clipped) passed = at::where(x.le(max), passed, zeros);
      if (tailed) passed = passed.div(x.sub(max - 1).clamp_min(1));
      return {std::move(passed), Variable(), Variable(), Variable()};
    }
    const float end = clipped ? max : std::numeric_limits<float>::infinity();
    return {MapGradient(gradients[0], x,
                        [max, end, tailed](float g, float v) {
                          const float tail =
                              tailed & (v > max) ? v - (max - 1) : 1.f;
                          return (v > 0) & (v <= end) ? g / tail : 0.f;
                        }),
            Variable(), Variable(), Variable()};
  }
};

struct UniformFunction : torch::autograd::Function<UniformFunction> {
  static Variable forward(AutogradContext* context, const Variable& x,
                          float levels, float max) {
    context->save_for_backward({x});
    context->saved_data["max"] = double{max};
    const float step = max / levels;
    if (!x.is_cpu()) {
      return at::floor(x.clamp(-max, max).div(step).add(0.5)).mul(step);
    }
    return Map(x, [max, step](float v) {
      const float clipped = v > -max ? (v < max ? v : max) : -max;
      return std::floor(clipped / step + 0.5f) * step;
    });
  }
  static variable_list backward(AutogradContext* context,
                                const variable_list& gradients) {
    const auto max = static_cast<float>(context->saved_data["max"].toDouble());
    return {
        PassWithin(gradients[0], context->get_saved_variables()[0], -max, max),
        Variable(), Variable()};
  }
};

}  // namespace

at::Tensor BinarySign(const at::Tensor& x) { return SignFunction::apply(x); }

at::Tensor DorefaActivation(const at::Tensor& x, uint32_t bits) {
  TERSE_CHECK(bits >= 1 && bits <= 16);
  return DorefaFunction::apply(x, static_cast<float>((1u << bits) - 1));
}

at::Tensor PactActivation(const at::Tensor& x, const at::Tensor& clip,
                          uint32_t bits, float decay) {
  TERSE_CHECK(bits >= 1 && bits <= 16 && clip.numel() == 1);
  return PactFunction::apply(x, clip, static_cast<float>((1u << bits) - 1),
                             decay);
}

at::Tensor HwgqActivation(const at::Tensor& x, uint32_t bits,
                          ActivationQuantization::Backward backward) {
  const float delta = HwgqDelta(bits);
  return HwgqFunction::apply(x, static_cast<float>((1u << bits) - 1), delta,
                             int64_t{backward});
}

at::Tensor UniformActivation(const at::Tensor& x, uint32_t bits, float max) {
  TERSE_CHECK(bits >= 2 && bits <= 16 && max > 0);
  return UniformFunction::apply(x, static_cast<float>((1u << (bits - 1)) - 1),
                                max);
}

at::Tensor SymmetricActivation(const at::Tensor& x, uint32_t bits) {
  TERSE_CHECK(bits >= 1 && bits <= 16);
  return SymmetricFunction::apply(x, static_cast<float>((1u << bits) - 1));
}

at::Tensor WindowMagnitudes(const at::Tensor& x, int64_t kernel, int64_t stride,
                            int64_t padding) {
  // A pool may not pad by more than half of its window; a convolution may.
  const at::Tensor means =
      at::constant_pad_nd(x.abs().mean(at::IntArrayRef{1}, /*keepdim=*/true),
                          {padding, padding, padding, padding});
  return at::avg_pool2d(means, kernel, stride);
}

at::Tensor SampleMagnitudes(const at::Tensor& x) {
  return x.flatten(1).abs().mean(at::IntArrayRef{1}, /*keepdim=*/true);
}

}  // namespace terse
