#include "common/kernels/dorefa_kernels.h"

#include "common/kernels/moments.h"
#include "common/kernels/tanh_math.h"
#include "common/kernels/target.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "common/kernels/dorefa_kernels.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace terse {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using Floats = hn::ScalableTag<float>;

// As TanhElement, operation by operation.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V Tanh(D df, V x) {
  const V one = hn::Set(df, 1.0f);
  const V saturated = hn::Set(df, kTanhSaturated);
  V a = hn::Abs(x);
  a = hn::IfThenElse(hn::Gt(a, saturated), saturated, a);
  const V y = hn::Mul(a, hn::Set(df, 0.125f));
  const V s = hn::Mul(y, y);
  V n = hn::Add(hn::Set(df, 1.0f / 9), hn::Mul(s, hn::Set(df, 1.0f / 945)));
  n = hn::Mul(y, hn::Add(one, hn::Mul(s, n)));
  V d = hn::Add(hn::Set(df, 4.0f / 9), hn::Mul(s, hn::Set(df, 1.0f / 63)));
  d = hn::Add(one, hn::Mul(s, d));
  for (int i = 0; i < 3; ++i) {
    const V product = hn::Mul(n, d);
    d = hn::Add(hn::Mul(d, d), hn::Mul(n, n));
    n = hn::Add(product, product);
  }
  V t = hn::Div(n, d);
  t = hn::IfThenElse(hn::Gt(t, one), one, t);
  t = hn::IfThenElse(hn::Lt(a, hn::Set(df, kTanhLinear)), a, t);
  return hn::CopySign(t, x);
}

size_t DorefaCodes(const float* HWY_RESTRICT weights, size_t count,
                   float tanh_max, int levels, uint8_t* HWY_RESTRICT codes) {
  const Floats d;
  const hn::RebindToSigned<Floats> di;
  const hn::Rebind<uint8_t, Floats> du8;
  const auto range = hn::Set(d, tanh_max > 0 ? 2 * tanh_max : 1);
  const auto top = hn::Set(d, static_cast<float>(levels));
  const auto zero = hn::Zero(d);
  const auto half = hn::Set(d, 0.5f);
  const auto rounder = hn::Set(d, 0x1p23f);
  size_t i = 0;
  for (; i + hn::Lanes(d) <= count; i += hn::Lanes(d)) {
    const auto t = Tanh(d, hn::LoadU(d, weights + i));
    const auto unit = hn::Add(hn::Div(t, range), half);
    auto code = hn::Sub(hn::Add(hn::Mul(unit, top), rounder), rounder);
    code = hn::IfThenElse(hn::Ge(code, zero), code, zero);
    code = hn::IfThenElse(hn::Gt(code, top), top, code);
    hn::StoreU(hn::DemoteTo(du8, hn::ConvertTo(di, code)), du8, codes + i);
  }
  return i;
}

size_t CodeLevels(const uint8_t* HWY_RESTRICT codes, size_t count, int levels,
                  float* HWY_RESTRICT target) {
  const Floats d;
  const hn::RebindToSigned<Floats> di;
  const hn::Rebind<uint8_t, Floats> du8;
  const auto top = hn::Set(d, static_cast<float>(levels));
  const auto offset = hn::Set(di, levels);
  size_t i = 0;
  for (; i + hn::Lanes(d) <= count; i += hn::Lanes(d)) {
    const auto code = hn::PromoteTo(di, hn::LoadU(du8, codes + i));
    const auto centered = hn::Sub(hn::Add(code, code), offset);
    hn::StoreU(hn::Div(hn::ConvertTo(d, centered), top), d, target + i);
  }
  return i;
}

// Adds whole runs of kMomentLanes elements to `sums`.
size_t TanhDot(const float* HWY_RESTRICT weights,
               const float* HWY_RESTRICT gradient, size_t count,
               double* HWY_RESTRICT sums) {
  const hn::CappedTag<double, 8> d;
  const hn::Rebind<float, decltype(d)> df;
  size_t i = 0;
  for (; i + kMomentLanes <= count; i += kMomentLanes) {
    for (size_t lane = 0; lane < kMomentLanes; lane += hn::Lanes(d)) {
      const auto t = Tanh(df, hn::LoadU(df, weights + i + lane));
      const auto g = hn::LoadU(df, gradient + i + lane);
      const auto product = hn::Mul(hn::PromoteTo(d, g), hn::PromoteTo(d, t));
      hn::StoreU(hn::Add(hn::LoadU(d, sums + lane), product), d, sums + lane);
    }
  }
  return i;
}

size_t ApplyDorefaChain(const DorefaChain& chain,
                        const float* HWY_RESTRICT weights, size_t count,
                        float* HWY_RESTRICT gradient) {
  const Floats d;
  const auto one = hn::Set(d, 1.0f);
  const auto zero = hn::Zero(d);
  const auto inverse_max = hn::Set(d, chain.inverse_max);
  const auto max_abs = hn::Set(d, chain.max_abs);
  const auto share_up = hn::Set(d, chain.max_share);
  const auto share_down = hn::Set(d, -chain.max_share);
  size_t i = 0;
  for (; i + hn::Lanes(d) <= count; i += hn::Lanes(d)) {
    const auto w = hn::LoadU(d, weights + i);
    const auto t = Tanh(d, w);
    const auto slope = hn::Mul(hn::Sub(one, t), hn::Add(one, t));
    const auto signed_share =
        hn::IfThenElse(hn::Lt(w, zero), share_down, share_up);
    const auto share =
        hn::IfThenElseZero(hn::Eq(hn::Abs(w), max_abs), signed_share);
    const auto scaled = hn::Mul(hn::LoadU(d, gradient + i), inverse_max);
    hn::StoreU(hn::Mul(slope, hn::Sub(scaled, share)), d, gradient + i);
  }
  return i;
}

}  // namespace HWY_NAMESPACE
}  // namespace terse
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace terse {

HWY_EXPORT(DorefaCodes);
HWY_EXPORT(CodeLevels);
HWY_EXPORT(TanhDot);
HWY_EXPORT(ApplyDorefaChain);

void DorefaCodes(const float* weights, size_t count, float tanh_max, int levels,
                 uint8_t* codes) {
  const size_t done = ScalarKernelsForced()
                          ? 0
                          : HWY_DYNAMIC_DISPATCH(DorefaCodes)(
                                weights, count, tanh_max, levels, codes);
  reference::DorefaCodes(weights + done, count - done, tanh_max, levels,
                         codes + done);
}

void CodeLevels(const uint8_t* codes, size_t count, int levels, float* target) {
  const size_t done = ScalarKernelsForced() ? 0
                                            : HWY_DYNAMIC_DISPATCH(CodeLevels)(
                                                  codes, count, levels, target);
  reference::CodeLevels(codes + done, count - done, levels, target + done);
}

double TanhDot(const float* weights, const float* gradient, size_t count) {
  if (ScalarKernelsForced())
    return reference::TanhDot(weights, gradient, count);
  double sums[kMomentLanes] = {};
  size_t i = HWY_DYNAMIC_DISPATCH(TanhDot)(weights, gradient, count, sums);
  for (; i < count; ++i) {
    sums[i % kMomentLanes] +=
        double{gradient[i]} * double{TanhElement(weights[i])};
  }
  return FoldLanes(sums);
}

void ApplyDorefaChain(const DorefaChain& chain, const float* weights,
                      size_t count, float* gradient) {
  const size_t done = ScalarKernelsForced()
                          ? 0
                          : HWY_DYNAMIC_DISPATCH(ApplyDorefaChain)(
                                chain, weights, count, gradient);
  reference::ApplyDorefaChain(chain, weights + done, count - done,
                              gradient + done);
}

}  // namespace terse
#endif  // HWY_ONCE
