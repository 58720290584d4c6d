#include "common/kernels/select.h"

#include "common/kernels/target.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "common/kernels/select.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
//
#include "common/kernels/moments-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace terse {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

template <bool kResidual>
size_t SelectRun(const float* values, size_t count, float* residual,
                 uint32_t min_abs_bits, uint32_t* indices) {
  const hn::ScalableTag<float> d;
  const hn::RebindToSigned<decltype(d)> di;
  const hn::RebindToUnsigned<decltype(d)> du;
  const size_t lanes = hn::Lanes(d);
  const auto abs_mask = hn::Set(di, 0x7fffffff);
  // Absolute bits are non-negative as signed integers, which compare faster.
  const auto below = hn::Set(di, static_cast<int32_t>(min_abs_bits) - 1);
  const auto iota = hn::Iota(du, 0);
  size_t found = 0;
  size_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    const auto x = LoadSum<kResidual>(d, values, residual, i);
    const auto bits = hn::And(hn::BitCast(di, x), abs_mask);
    const auto hit = hn::Gt(bits, below);
    if (hn::AllFalse(di, hit)) continue;
    const auto index = hn::Add(iota, hn::Set(du, static_cast<uint32_t>(i)));
    const auto hit_u = hn::RebindMask(du, hit);
    hn::StoreU(hn::Compress(index, hit_u), du, indices + found);
    found += hn::CountTrue(du, hit_u);
  }
  for (; i < count; ++i) {
    if (AbsBits(LoadSumOne<kResidual>(values, residual, i)) >= min_abs_bits) {
      indices[found++] = static_cast<uint32_t>(i);
    }
  }
  return found;
}

size_t SelectAtLeastKernel(const float* values, size_t count, float* residual,
                           uint32_t min_abs_bits, uint32_t* indices) {
  return residual != nullptr
             ? SelectRun<true>(values, count, residual, min_abs_bits, indices)
             : SelectRun<false>(values, count, nullptr, min_abs_bits, indices);
}

}  // namespace HWY_NAMESPACE
}  // namespace terse
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace terse {

HWY_EXPORT(SelectAtLeastKernel);

size_t SelectAtLeast(const float* values, size_t count, float* residual,
                     uint32_t min_abs_bits, uint32_t* indices) {
  if (ScalarKernelsForced()) {
    return reference::SelectAtLeast(values, count, residual, min_abs_bits,
                                    indices);
  }
  return HWY_DYNAMIC_DISPATCH(SelectAtLeastKernel)(values, count, residual,
                                                   min_abs_bits, indices);
}

}  // namespace terse
#endif  // HWY_ONCE
