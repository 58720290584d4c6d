#include "common/kernels/ternary.h"

#include <algorithm>

#include "common/kernels/prefetch.h"
#include "common/kernels/random_segment.h"
#include "common/kernels/target.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "common/kernels/ternary.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
//
#include "common/kernels/random-inl.h"
#include "common/kernels/trits-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace terse {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET != HWY_SCALAR

// What all elements of a block have in common.
template <class D>
struct TernaryConstants {
  TernaryConstants(D d, float scale)
      : scale(hn::Set(d, scale)),
        minus_scale(hn::Set(d, -scale)),
        factor(hn::Set(d, TernaryFactor(scale))),
        step(hn::Set(d, scale * 0x1p-16f)) {}
  hn::Vec<D> scale, minus_scale, factor, step;
};

// The places of a vector of elements on the grid, with their dither; the digits
// are bits 16 and 17.
template <bool kLoss, class D>
HWY_INLINE hn::Vec<hn::RebindToUnsigned<D>> DitheredPlaces(
    D d, const TernaryConstants<D>& constants, const float* values,
    hn::Vec<hn::RebindToUnsigned<D>> dither, float* loss) {
  const hn::RebindToUnsigned<D> du;
  const auto x = hn::LoadU(d, values);
  PrefetchAhead(values);
  if constexpr (!kLoss) PrefetchNextBlock(values);
  const auto clamped =
      hn::Min(hn::Max(x, constants.minus_scale), constants.scale);
  const auto base = hn::Set(d, kTernaryBase);
  const auto place = hn::Add(hn::Mul(clamped, constants.factor), base);
  const auto dithered = hn::Add(hn::BitCast(du, place), dither);
  if constexpr (kLoss) {
    // Without the bits below the digit this is trit * 2^16 above the base.
    const auto whole = hn::And(dithered, hn::Set(du, ~0xffffu));
    const auto trit = hn::Sub(hn::BitCast(d, whole), base);
    hn::StoreU(hn::Sub(x, hn::Mul(trit, constants.step)), d, loss);
  }
  return dithered;
}

// Returns how many elements were encoded: all whole groups.
template <bool kLoss>
HWY_INLINE size_t EncodeGroups(const float* values, size_t count, float scale,
                               uint64_t key, uint64_t first_index, float* loss,
                               uint8_t* packed) {
  constexpr size_t kHalf = kTritGroupBytes / 2;
  using D = hn::CappedTag<float, kHalf>;
  const D d;
  const hn::RebindToUnsigned<decltype(d)> du;
  const hn::Repartition<uint16_t, decltype(d)> d16;
  const hn::Rebind<uint8_t, decltype(d)> d8;
  const size_t lanes = hn::Lanes(d);
  const RandomRun<decltype(du)> run(du, key, first_index);
  const TernaryConstants<D> constants(d, scale);
  const size_t grouped = count / kTritGroup * kTritGroup;
  for (size_t start = 0; start < grouped; start += kTritGroup) {
    for (size_t l = 0; l < kHalf; l += lanes) {
      const size_t i = start + l;
      const auto position = run.Position(i);
      // Bytes l and l + 32, in the lower and the upper half of each lane. What
      // the base leaves in a half is a multiple of 256, as are its multiples.
      auto code = hn::Zero(d16);
      const auto add = [&](size_t j, uint16_t power) HWY_ATTR {
        const size_t e = i + kTritGroupBytes * j;
        const auto bits =
            run.Mix(hn::Add(position, run.Offset(kTritGroupBytes * j)));
        const auto low = DitheredPlaces<kLoss>(
            d, constants, values + e, hn::And(bits, hn::Set(du, 0xffffu)),
            kLoss ? loss + e : nullptr);
        const auto high = DitheredPlaces<kLoss>(
            d, constants, values + e + kHalf, hn::ShiftRight<16>(bits),
            kLoss ? loss + e + kHalf : nullptr);
        const auto digits = hn::OddEven(
            hn::BitCast(d16, high), hn::BitCast(d16, hn::ShiftRight<16>(low)));
        code = hn::Add(code, hn::Mul(digits, hn::Set(d16, power)));
      };
      add(0, 1);
      add(1, 3);
      add(2, 9);
      add(3, 27);
      add(4, 81);
      const auto codes = hn::BitCast(du, code);
      hn::StoreU(hn::TruncateTo(d8, codes), d8, packed + l);
      hn::StoreU(hn::TruncateTo(d8, hn::ShiftRight<16>(codes)), d8,
                 packed + l + kHalf);
    }
    packed += kTritGroupBytes;
  }
  return grouped;
}

#else  // One lane, which has no halves.

template <bool kLoss>
size_t EncodeGroups(const float* values, size_t count, float scale,
                    uint64_t key, uint64_t first_index, float* loss,
                    uint8_t* packed) {
  const size_t grouped = count / kTritGroup * kTritGroup;
  reference::EncodeTernary(values, grouped, scale, key, first_index, loss,
                           packed);
  return grouped;
}

#endif  // HWY_TARGET

void EncodeTernaryKernel(const float* values, size_t count, float scale,
                         uint64_t key, uint64_t first_index, float* loss,
                         uint8_t* packed) {
  const size_t grouped =
      loss != nullptr ? EncodeGroups<true>(values, count, scale, key,
                                           first_index, loss, packed)
                      : EncodeGroups<false>(values, count, scale, key,
                                            first_index, nullptr, packed);
  reference::EncodeTernaryTail(values, grouped, count, scale, key, first_index,
                               loss, packed);
}

void DecodeAddTernaryKernel(const uint8_t* packed, size_t count, float step,
                            float* target) {
  const hn::ScalableTag<float> d;
  const hn::RebindToSigned<decltype(d)> di;
  const hn::Rebind<int8_t, decltype(d)> d8;
  const size_t lanes = hn::Lanes(d);
  const auto steps = hn::Set(d, step);
  const size_t grouped = count / kTritGroup * kTritGroup;
  alignas(64) int8_t trits[kTritGroup];
  for (size_t start = 0; start < grouped; start += kTritGroup) {
    UnpackTrits(packed + start / kTritsPerByte, trits);
    float* const group = target + start;
    for (size_t i = 0; i < kTritGroup; i += lanes) {
      PrefetchAhead(group + i);
      const auto trit =
          hn::ConvertTo(d, hn::PromoteTo(di, hn::LoadU(d8, trits + i)));
      const auto sum = hn::Add(hn::LoadU(d, group + i), hn::Mul(trit, steps));
      hn::StoreU(sum, d, group + i);
    }
  }
  reference::DecodeAddTernaryTail(packed, grouped, count, step, target);
}

uint8_t MaxByteKernel(const uint8_t* bytes, size_t count) {
  const hn::ScalableTag<uint8_t> d;
  const size_t lanes = hn::Lanes(d);
  auto maxima = hn::Zero(d);
  size_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    maxima = hn::Max(maxima, hn::LoadU(d, bytes + i));
  }
  alignas(64) uint8_t all[hn::MaxLanes(d)];
  hn::Store(maxima, d, all);
  uint8_t max = *std::max_element(all, all + lanes);
  for (; i < count; ++i) max = std::max(max, bytes[i]);
  return max;
}

}  // namespace HWY_NAMESPACE
}  // namespace terse
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace terse {

HWY_EXPORT(EncodeTernaryKernel);
HWY_EXPORT(DecodeAddTernaryKernel);
HWY_EXPORT(MaxByteKernel);

void EncodeTernary(const float* values, size_t count, float scale, uint64_t key,
                   uint64_t first_index, float* loss, uint8_t* packed) {
  const bool tiny = scale > 0 && scale < kTernaryScaleMin;
  if (ScalarKernelsForced() || tiny || !InOneSegment(first_index, count)) {
    return reference::EncodeTernary(values, count, scale, key, first_index,
                                    loss, packed);
  }
  HWY_DYNAMIC_DISPATCH(EncodeTernaryKernel)
  (values, count, scale, key, first_index, loss, packed);
}

void DecodeAddTernary(const uint8_t* packed, size_t count, float step,
                      float* target) {
  if (ScalarKernelsForced()) {
    return reference::DecodeAddTernary(packed, count, step, target);
  }
  HWY_DYNAMIC_DISPATCH(DecodeAddTernaryKernel)(packed, count, step, target);
}

uint8_t MaxByte(const uint8_t* bytes, size_t count) {
  if (ScalarKernelsForced()) return reference::MaxByte(bytes, count);
  return HWY_DYNAMIC_DISPATCH(MaxByteKernel)(bytes, count);
}

}  // namespace terse
#endif  // HWY_ONCE
