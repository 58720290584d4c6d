#include "common/kernels/optimizer_kernels.h"

#include <cstddef>

#include "common/kernels/target.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "common/kernels/optimizer_kernels.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace terse {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using Floats = hn::ScalableTag<float>;
using FloatsV = hn::Vec<Floats>;

// As ClipElement: selects, because min and max treat NaN differently on
// different instruction sets.
HWY_INLINE FloatsV Clip(FloatsV x, FloatsV low, FloatsV high) {
  x = hn::IfThenElse(hn::Gt(x, high), high, x);
  return hn::IfThenElse(hn::Lt(x, low), low, x);
}

// What SGD and Adam share: the gradient that the step sees and the new weight.
template <typename Constants>
struct Step {
  explicit Step(const Constants& c)
      : gradient_low(hn::Set(Floats(), -c.gradient_max)),
        gradient_high(hn::Set(Floats(), c.gradient_max)),
        gradient_scale(hn::Set(Floats(), c.gradient_scale)),
        weight_decay(hn::Set(Floats(), c.weight_decay)),
        rate(hn::Set(Floats(), c.rate)),
        weight_low(hn::Set(Floats(), -c.weight_max)),
        weight_high(hn::Set(Floats(), c.weight_max)) {}

  HWY_INLINE FloatsV Gradient(FloatsV gradient, FloatsV weight) const {
    return hn::Add(
        hn::Mul(Clip(gradient, gradient_low, gradient_high), gradient_scale),
        hn::Mul(weight_decay, weight));
  }
  HWY_INLINE FloatsV Weight(FloatsV weight, FloatsV direction) const {
    return Clip(hn::Sub(weight, hn::Mul(rate, direction)), weight_low,
                weight_high);
  }

  const FloatsV gradient_low, gradient_high, gradient_scale, weight_decay, rate,
      weight_low, weight_high;
};

void SgdUpdate(const SgdConstants& c, const float* HWY_RESTRICT gradient,
               float* HWY_RESTRICT weights, size_t count) {
  const Floats d;
  const Step step(c);
  size_t i = 0;
  for (; i + hn::Lanes(d) <= count; i += hn::Lanes(d)) {
    const auto w = hn::LoadU(d, weights + i);
    const auto g = step.Gradient(hn::LoadU(d, gradient + i), w);
    hn::StoreU(step.Weight(w, g), d, weights + i);
  }
  for (; i < count; ++i) SgdElement(c, gradient[i], weights[i]);
}

template <bool kNesterov>
void Momentum(const SgdConstants& c, const float* HWY_RESTRICT gradient,
              float* HWY_RESTRICT weights, float* HWY_RESTRICT momentum,
              size_t count) {
  const Floats d;
  const Step step(c);
  const auto factor = hn::Set(d, c.momentum);
  size_t i = 0;
  for (; i + hn::Lanes(d) <= count; i += hn::Lanes(d)) {
    const auto w = hn::LoadU(d, weights + i);
    const auto g = step.Gradient(hn::LoadU(d, gradient + i), w);
    const auto v = hn::Add(hn::Mul(factor, hn::LoadU(d, momentum + i)), g);
    const auto direction = kNesterov ? hn::Add(g, hn::Mul(factor, v)) : v;
    hn::StoreU(v, d, momentum + i);
    hn::StoreU(step.Weight(w, direction), d, weights + i);
  }
  for (; i < count; ++i) {
    MomentumElement(c, kNesterov, gradient[i], weights[i], momentum[i]);
  }
}

void MomentumUpdate(const SgdConstants& c, bool nesterov,
                    const float* HWY_RESTRICT gradient,
                    float* HWY_RESTRICT weights, float* HWY_RESTRICT momentum,
                    size_t count) {
  if (nesterov) {
    Momentum<true>(c, gradient, weights, momentum, count);
  } else {
    Momentum<false>(c, gradient, weights, momentum, count);
  }
}

void AdamUpdate(const AdamConstants& c, const float* HWY_RESTRICT gradient,
                float* HWY_RESTRICT weights, float* HWY_RESTRICT m_state,
                float* HWY_RESTRICT v_state, size_t count) {
  const Floats d;
  const Step step(c);
  const auto beta1 = hn::Set(d, c.beta1);
  const auto beta1_rest = hn::Set(d, c.beta1_rest);
  const auto beta2 = hn::Set(d, c.beta2);
  const auto beta2_rest = hn::Set(d, c.beta2_rest);
  const auto m_correction = hn::Set(d, c.m_correction);
  const auto v_correction = hn::Set(d, c.v_correction);
  const auto epsilon = hn::Set(d, c.epsilon);
  size_t i = 0;
  for (; i + hn::Lanes(d) <= count; i += hn::Lanes(d)) {
    const auto w = hn::LoadU(d, weights + i);
    const auto g = step.Gradient(hn::LoadU(d, gradient + i), w);
    const auto m = hn::Add(hn::Mul(beta1, hn::LoadU(d, m_state + i)),
                           hn::Mul(beta1_rest, g));
    const auto v = hn::Add(hn::Mul(beta2, hn::LoadU(d, v_state + i)),
                           hn::Mul(beta2_rest, hn::Mul(g, g)));
    const auto root = hn::Sqrt(hn::Mul(v, v_correction));
    const auto direction =
        hn::Div(hn::Mul(m, m_correction), hn::Add(root, epsilon));
    hn::StoreU(m, d, m_state + i);
    hn::StoreU(v, d, v_state + i);
    hn::StoreU(step.Weight(w, direction), d, weights + i);
  }
  for (; i < count; ++i) {
    AdamElement(c, gradient[i], weights[i], m_state[i], v_state[i]);
  }
}

double ClippedSquares(const float* HWY_RESTRICT values, size_t count,
                      float bound) {
  const hn::CappedTag<double, 8> d;
  const hn::Rebind<float, decltype(d)> df;
  const size_t lanes = hn::Lanes(d);
  const auto high = hn::Set(df, bound);
  const auto low = hn::Set(df, -bound);
  HWY_ALIGN double sums[kSumLanes] = {};
  size_t i = 0;
  for (; i + kSumLanes <= count; i += kSumLanes) {
    for (size_t lane = 0; lane < kSumLanes; lane += lanes) {
      auto x = hn::LoadU(df, values + i + lane);
      x = hn::IfThenElse(hn::Gt(x, high), high, x);
      x = hn::IfThenElse(hn::Lt(x, low), low, x);
      const auto wide = hn::PromoteTo(d, x);
      const auto sum = hn::Add(hn::Load(d, sums + lane), hn::Mul(wide, wide));
      hn::Store(sum, d, sums + lane);
    }
  }
  for (; i < count; ++i) {
    const double x = ClipElement(values[i], bound);
    sums[i % kSumLanes] += x * x;
  }
  return FoldSums(sums);
}

}  // namespace HWY_NAMESPACE
}  // namespace terse
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace terse {

HWY_EXPORT(SgdUpdate);
HWY_EXPORT(MomentumUpdate);
HWY_EXPORT(AdamUpdate);
HWY_EXPORT(ClippedSquares);

void SgdUpdate(const SgdConstants& constants, std::span<const float> gradient,
               std::span<float> weights) {
  if (ScalarKernelsForced()) {
    return reference::SgdUpdate(constants, gradient, weights);
  }
  HWY_DYNAMIC_DISPATCH(SgdUpdate)
  (constants, gradient.data(), weights.data(), weights.size());
}

void MomentumUpdate(const SgdConstants& constants, bool nesterov,
                    std::span<const float> gradient, std::span<float> weights,
                    std::span<float> momentum) {
  if (ScalarKernelsForced()) {
    return reference::MomentumUpdate(constants, nesterov, gradient, weights,
                                     momentum);
  }
  HWY_DYNAMIC_DISPATCH(MomentumUpdate)
  (constants, nesterov, gradient.data(), weights.data(), momentum.data(),
   weights.size());
}

void AdamUpdate(const AdamConstants& constants, std::span<const float> gradient,
                std::span<float> weights, std::span<float> m,
                std::span<float> v) {
  if (ScalarKernelsForced()) {
    return reference::AdamUpdate(constants, gradient, weights, m, v);
  }
  HWY_DYNAMIC_DISPATCH(AdamUpdate)
  (constants, gradient.data(), weights.data(), m.data(), v.data(),
   weights.size());
}

double ClippedSquares(std::span<const float> values, float bound) {
  if (ScalarKernelsForced()) return reference::ClippedSquares(values, bound);
  return HWY_DYNAMIC_DISPATCH(ClippedSquares)(values.data(), values.size(),
                                              bound);
}

}  // namespace terse
#endif  // HWY_ONCE
