#include "common/kernels/natural.h"

#include <algorithm>

#include "common/kernels/random_segment.h"
#include "common/kernels/target.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "common/kernels/natural.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
//
#include "common/kernels/moments-inl.h"
#include "common/kernels/pack-inl.h"
#include "common/kernels/random-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace terse {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

constexpr size_t kNaturalGroupBytes = PackedCodeBytes(kPackGroup, kNaturalBits);

template <class D>
HWY_INLINE hn::Vec<D> NaturalValue(D d, hn::Vec<hn::RebindToUnsigned<D>> code) {
  const hn::RebindToUnsigned<D> du;
  const auto sign = hn::And(code, hn::Set(du, 0x100u));
  const auto exponent = hn::And(code, hn::Set(du, 0xffu));
  return hn::BitCast(d, hn::ShiftLeft<23>(hn::Or(exponent, sign)));
}

// Encodes whole groups; returns how many elements that were.
template <bool kResidual>
HWY_INLINE size_t EncodeNaturalGroups(const float* values, size_t count,
                                      uint64_t key, uint64_t first_index,
                                      float* residual, uint8_t* packed,
                                      uint32_t* max_bits) {
  const hn::ScalableTag<float> d;
  const hn::RebindToUnsigned<decltype(d)> du;
  const hn::RebindToSigned<decltype(d)> di;
  const hn::Rebind<uint16_t, decltype(d)> d16;
  const RandomRun<decltype(du)> run(du, key, first_index);
  const auto abs_mask = hn::Set(du, 0x7fffffffu);
  const auto exponent_max = hn::Set(du, kNaturalExponentMax);
  auto max = hn::Zero(di);
  alignas(64) uint16_t codes[kPackGroup];
  const size_t grouped = count / kPackGroup * kPackGroup;
  for (size_t start = 0; start < grouped; start += kPackGroup) {
    for (size_t g = 0; g < kPackGroup; g += hn::Lanes(d)) {
      const size_t i = start + g;
      auto x = hn::LoadU(d, values + i);
      if constexpr (kResidual) x = hn::Add(hn::LoadU(d, residual + i), x);
      const auto bits = hn::BitCast(du, x);
      const auto magnitude = hn::And(bits, abs_mask);
      max = hn::Max(max, hn::BitCast(di, magnitude));
      const auto dither = hn::ShiftRight<9>(run.Draw(i));
      const auto exponent =
          hn::Min(hn::ShiftRight<23>(hn::Add(magnitude, dither)), exponent_max);
      const auto code =
          hn::Or(exponent, hn::ShiftLeft<8>(hn::ShiftRight<31>(bits)));
      if constexpr (kResidual) {
        hn::StoreU(hn::Sub(x, NaturalValue(d, code)), d, residual + i);
      }
      hn::StoreU(hn::TruncateTo(d16, code), d16, codes + g);
    }
    PackCodes(codes, kNaturalBits, packed);
    packed += kNaturalGroupBytes;
  }
  *max_bits = static_cast<uint32_t>(hn::GetLane(hn::MaxOfLanes(di, max)));
  return grouped;
}

bool EncodeNaturalKernel(const float* values, size_t count, uint64_t key,
                         uint64_t first_index, float* residual,
                         uint8_t* packed) {
  uint32_t max = 0;
  const size_t grouped =
      residual != nullptr
          ? EncodeNaturalGroups<true>(values, count, key, first_index, residual,
                                      packed, &max)
          : EncodeNaturalGroups<false>(values, count, key, first_index, nullptr,
                                       packed, &max);
  return reference::EncodeNatural(
             values + grouped, count - grouped, key, first_index + grouped,
             residual != nullptr ? residual + grouped : nullptr,
             packed + grouped / kPackGroup * kNaturalGroupBytes) &&
         max < kInfinityBits;
}

void DecodeAddNaturalKernel(const uint8_t* packed, size_t count, float weight,
                            float* target) {
  const hn::ScalableTag<float> d;
  const hn::RebindToUnsigned<decltype(d)> du;
  const hn::Rebind<uint16_t, decltype(d)> d16;
  const auto weights = hn::Set(d, weight);
  alignas(64) uint16_t codes[kPackGroup];
  size_t start = 0;
  for (; start + kPackGroup <= count; start += kPackGroup) {
    UnpackCodes(packed, kNaturalBits, codes);
    packed += kNaturalGroupBytes;
    for (size_t g = 0; g < kPackGroup; g += hn::Lanes(d)) {
      const auto code = hn::PromoteTo(du, hn::LoadU(d16, codes + g));
      const auto value = hn::Mul(weights, NaturalValue(d, code));
      float* const t = target + start + g;
      hn::StoreU(hn::Add(hn::LoadU(d, t), value), d, t);
    }
  }
  reference::DecodeAddNatural(packed, count - start, weight, target + start);
}

bool NaturalCodesAreValidKernel(const uint8_t* packed, size_t count) {
  const hn::ScalableTag<uint16_t> d;
  const auto exponent_mask = hn::Set(d, 0xff);
  alignas(64) uint16_t codes[kPackGroup];
  size_t start = 0;
  for (; start + kPackGroup <= count; start += kPackGroup) {
    UnpackCodes(packed, kNaturalBits, codes);
    packed += kNaturalGroupBytes;
    for (size_t g = 0; g < kPackGroup; g += hn::Lanes(d)) {
      const auto exponent = hn::And(hn::Load(d, codes + g), exponent_mask);
      if (!hn::AllFalse(d, hn::Eq(exponent, exponent_mask))) return false;
    }
  }
  return reference::NaturalCodesAreValid(packed, count - start);
}

}  // namespace HWY_NAMESPACE
}  // namespace terse
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace terse {

HWY_EXPORT(EncodeNaturalKernel);
HWY_EXPORT(DecodeAddNaturalKernel);
HWY_EXPORT(NaturalCodesAreValidKernel);

bool EncodeNatural(const float* values, size_t count, uint64_t key,
                   uint64_t first_index, float* residual, uint8_t* packed) {
  if (ScalarKernelsForced() || !InOneSegment(first_index, count)) {
    return reference::EncodeNatural(values, count, key, first_index, residual,
                                    packed);
  }
  return HWY_DYNAMIC_DISPATCH(EncodeNaturalKernel)(
      values, count, key, first_index, residual, packed);
}

void DecodeAddNatural(const uint8_t* packed, size_t count, float weight,
                      float* target) {
  if (ScalarKernelsForced()) {
    return reference::DecodeAddNatural(packed, count, weight, target);
  }
  HWY_DYNAMIC_DISPATCH(DecodeAddNaturalKernel)(packed, count, weight, target);
}

bool NaturalCodesAreValid(const uint8_t* packed, size_t count) {
  if (ScalarKernelsForced()) {
    return reference::NaturalCodesAreValid(packed, count);
  }
  return HWY_DYNAMIC_DISPATCH(NaturalCodesAreValidKernel)(packed, count);
}

}  // namespace terse
#endif  // HWY_ONCE
