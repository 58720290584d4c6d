#include "common/kernels/weight_codes.h"

#include "common/kernels/target.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "common/kernels/weight_codes.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
//
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace terse {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using Floats = hn::ScalableTag<float>;
using V = hn::Vec<Floats>;

// The reference's Step, of floats with no fraction. A comparison with NaN is
// false, so that it takes the value for that.
HWY_INLINE V Steps(V x, float step, int low, int high) {
  const Floats d;
  if (!(step > 0)) return hn::Zero(d);
  const V least = hn::Set(d, static_cast<float>(low));
  const V most = hn::Set(d, static_cast<float>(high));
  const V q =
      hn::Floor(hn::Add(hn::Div(x, hn::Set(d, step)), hn::Set(d, 0.5f)));
  return hn::IfThenElse(hn::Gt(q, least),
                        hn::IfThenElse(hn::Lt(q, most), q, most), least);
}

HWY_INLINE void StoreCodes(V codes, uint8_t* target) {
  const hn::RebindToSigned<Floats> di;
  const hn::Rebind<uint8_t, Floats> du8;
  hn::StoreU(hn::DemoteTo(du8, hn::ConvertTo(di, codes)), du8, target);
}

// All kernels do whole vectors and return how many elements that are.
size_t UniformCodesKernel(const float* HWY_RESTRICT weights, size_t count,
                          float scale, int top, uint8_t* HWY_RESTRICT codes) {
  const Floats d;
  const V offset = hn::Set(d, static_cast<float>(top));
  size_t i = 0;
  for (; i + hn::Lanes(d) <= count; i += hn::Lanes(d)) {
    const V q = Steps(hn::LoadU(d, weights + i), scale, -top, top);
    StoreCodes(hn::Add(q, offset), codes + i);
  }
  return i;
}

size_t CenteredCodesKernel(const float* HWY_RESTRICT weights, size_t count,
                           float scale, int top, uint8_t* HWY_RESTRICT codes) {
  const Floats d;
  const V zero = hn::Zero(d), one = hn::Set(d, 1.0f), half = hn::Set(d, 0.5f);
  const V steps = hn::Set(d, static_cast<float>(top));
  const V divisor = hn::Set(d, scale), rounding = hn::Set(d, 0x1p23f);
  size_t i = 0;
  for (; i + hn::Lanes(d) <= count; i += hn::Lanes(d)) {
    V unit = half;
    if (scale > 0) {
      unit = hn::Add(hn::Div(hn::LoadU(d, weights + i), divisor), half);
    }
    unit = hn::IfThenElse(hn::Gt(unit, zero), unit, zero);  // NaN too.
    unit = hn::IfThenElse(hn::Lt(unit, one), unit, one);
    StoreCodes(hn::Sub(hn::Add(hn::Mul(unit, steps), rounding), rounding),
               codes + i);
  }
  return i;
}

size_t PiecewiseCodesKernel(const float* HWY_RESTRICT weights, size_t count,
                            const PiecewiseGrid& grid,
                            uint8_t* HWY_RESTRICT codes) {
  const Floats d;
  const V breakpoint = hn::Set(d, grid.breakpoint);
  const V zero_code = hn::Set(d, static_cast<float>(grid.outer + grid.inner));
  const V below = hn::Set(d, static_cast<float>(grid.outer - 1));
  const V above =
      hn::Set(d, static_cast<float>(grid.outer + 2 * grid.inner + 1));
  size_t i = 0;
  for (; i + hn::Lanes(d) <= count; i += hn::Lanes(d)) {
    const V w = hn::LoadU(d, weights + i);
    const V magnitude = hn::Abs(w);
    const V inner =
        hn::Add(zero_code, Steps(w, grid.inner_step, -grid.inner, grid.inner));
    const V j = Steps(hn::Sub(magnitude, breakpoint), grid.outer_step, 0,
                      grid.outer - 1);
    const V outer = hn::IfThenElse(hn::Lt(w, hn::Zero(d)), hn::Sub(below, j),
                                   hn::Add(above, j));
    StoreCodes(hn::IfThenElse(hn::Lt(magnitude, breakpoint), inner, outer),
               codes + i);
  }
  return i;
}

// `above` where w > threshold, `below` where w < -threshold, else `between`.
HWY_INLINE V BySide(V w, V threshold, V above, V below, V between) {
  return hn::IfThenElse(
      hn::Gt(w, threshold), above,
      hn::IfThenElse(hn::Lt(w, hn::Neg(threshold)), below, between));
}

size_t ThresholdTritsKernel(const float* HWY_RESTRICT weights, size_t count,
                            float threshold, float* HWY_RESTRICT trits) {
  const Floats d;
  const V limit = hn::Set(d, threshold);
  const V one = hn::Set(d, 1.0f), minus = hn::Set(d, -1.0f);
  size_t i = 0;
  for (; i + hn::Lanes(d) <= count; i += hn::Lanes(d)) {
    const V w = hn::LoadU(d, weights + i);
    hn::StoreU(BySide(w, limit, one, minus, hn::Zero(d)), d, trits + i);
  }
  return i;
}

size_t PutScalesKernel(float positive, float negative, size_t count,
                       float* HWY_RESTRICT values) {
  const Floats d;
  const V zero = hn::Zero(d);
  const V above = hn::Set(d, positive), below = hn::Set(d, negative);
  size_t i = 0;
  for (; i + hn::Lanes(d) <= count; i += hn::Lanes(d)) {
    const V value = hn::LoadU(d, values + i);
    hn::StoreU(BySide(value, zero, above, below, zero), d, values + i);
  }
  return i;
}

size_t ScaleBySideKernel(const float* HWY_RESTRICT weights, size_t count,
                         float threshold, float above, float below,
                         float* HWY_RESTRICT gradient) {
  const Floats d;
  const V limit = hn::Set(d, threshold), one = hn::Set(d, 1.0f);
  const V up = hn::Set(d, above), down = hn::Set(d, below);
  size_t i = 0;
  for (; i + hn::Lanes(d) <= count; i += hn::Lanes(d)) {
    const V factor = BySide(hn::LoadU(d, weights + i), limit, up, down, one);
    hn::StoreU(hn::Mul(hn::LoadU(d, gradient + i), factor), d, gradient + i);
  }
  return i;
}

}  // namespace HWY_NAMESPACE
}  // namespace terse
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace terse {

HWY_EXPORT(UniformCodesKernel);
HWY_EXPORT(CenteredCodesKernel);
HWY_EXPORT(PiecewiseCodesKernel);
HWY_EXPORT(ThresholdTritsKernel);
HWY_EXPORT(PutScalesKernel);
HWY_EXPORT(ScaleBySideKernel);

void UniformCodes(const float* weights, size_t count, float scale, int top,
                  uint8_t* codes) {
  const size_t done = ScalarKernelsForced()
                          ? 0
                          : HWY_DYNAMIC_DISPATCH(UniformCodesKernel)(
                                weights, count, scale, top, codes);
  reference::UniformCodes(weights + done, count - done, scale, top,
                          codes + done);
}

void CenteredCodes(const float* weights, size_t count, float scale, int top,
                   uint8_t* codes) {
  const size_t done = ScalarKernelsForced()
                          ? 0
                          : HWY_DYNAMIC_DISPATCH(CenteredCodesKernel)(
                                weights, count, scale, top, codes);
  reference::CenteredCodes(weights + done, count - done, scale, top,
                           codes + done);
}

void PiecewiseCodes(const float* weights, size_t count,
                    const PiecewiseGrid& grid, uint8_t* codes) {
  const size_t done = ScalarKernelsForced()
                          ? 0
                          : HWY_DYNAMIC_DISPATCH(PiecewiseCodesKernel)(
                                weights, count, grid, codes);
  reference::PiecewiseCodes(weights + done, count - done, grid, codes + done);
}

void ThresholdTrits(const float* weights, size_t count, float threshold,
                    float* trits) {
  const size_t done = ScalarKernelsForced()
                          ? 0
                          : HWY_DYNAMIC_DISPATCH(ThresholdTritsKernel)(
                                weights, count, threshold, trits);
  reference::ThresholdTrits(weights + done, count - done, threshold,
                            trits + done);
}

void PutScales(float positive, float negative, size_t count, float* values) {
  const size_t done = ScalarKernelsForced()
                          ? 0
                          : HWY_DYNAMIC_DISPATCH(PutScalesKernel)(
                                positive, negative, count, values);
  reference::PutScales(positive, negative, count - done, values + done);
}

void ScaleBySide(const float* weights, size_t count, float threshold,
                 float above, float below, float* gradient) {
  const size_t done =
      ScalarKernelsForced()
          ? 0
          : HWY_DYNAMIC_DISPATCH(ScaleBySideKernel)(weights, count, threshold,
                                                    above, below, gradient);
  reference::ScaleBySide(weights + done, count - done, threshold, above, below,
                         gradient + done);
}

}  // namespace terse
#endif  // HWY_ONCE
