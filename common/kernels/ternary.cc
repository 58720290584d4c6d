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
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace terse {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Adds one vector of trits times 3^j to `code`, all as floats; exact, as all of
// a byte's parts are.
template <bool kLoss, class D, class Run>
HWY_INLINE hn::Vec<D> AddTrits(D d, const Run& run,
                               hn::Vec<hn::RebindToUnsigned<D>> position,
                               const float* values, hn::Vec<D> power,
                               hn::Vec<D> factor, hn::Vec<D> scale, float* loss,
                               hn::Vec<D> code) {
  const hn::RebindToSigned<D> di;
  const auto x = hn::LoadU(d, values);
  PrefetchNextBlock(values);
  const auto bits = hn::ShiftRight<1>(run.Mix(position));
  const auto u = hn::ConvertTo(d, hn::BitCast(di, bits));
  const auto keep = hn::Lt(u, hn::Mul(hn::Abs(x), factor));
  if constexpr (kLoss) {
    const auto kept = hn::Sub(x, hn::CopySignToAbs(scale, x));
    hn::StoreU(hn::IfThenElse(keep, kept, x), d, loss);
  }
  return hn::IfThenElse(keep, hn::Add(code, hn::CopySignToAbs(power, x)), code);
}

// Returns how many elements were encoded: all whole groups.
template <bool kLoss>
HWY_INLINE size_t EncodeGroups(const float* values, size_t count, float scale,
                               uint64_t key, uint64_t first_index, float* loss,
                               uint8_t* packed) {
  const hn::ScalableTag<float> d;
  const hn::RebindToUnsigned<decltype(d)> du;
  const hn::RebindToSigned<decltype(d)> di;
  const hn::Rebind<uint8_t, decltype(d)> d8;
  const size_t lanes = hn::Lanes(d);
  const RandomRun run(du, key, first_index);
  const auto factor = hn::Set(d, TernaryFactor(scale));
  const auto scales = hn::Set(d, scale);
  const auto middle = hn::Set(d, 121.0f);
  const size_t grouped = count / kTritGroup * kTritGroup;
  for (size_t start = 0; start < grouped; start += kTritGroup) {
    for (size_t l = 0; l < kTritGroupBytes; l += lanes) {
      const size_t i = start + l;
      const auto position = run.Position(i);
      auto code = middle;
      const auto add = [&](size_t j, float power) HWY_ATTR {
        const size_t e = i + kTritGroupBytes * j;
        code = AddTrits<kLoss>(
            d, run, hn::Add(position, run.Offset(kTritGroupBytes * j)),
            values + e, hn::Set(d, power), factor, scales,
            kLoss ? loss + e : nullptr, code);
      };
      add(0, 1);
      add(1, 3);
      add(2, 9);
      add(3, 27);
      add(4, 81);
      hn::StoreU(hn::DemoteTo(d8, hn::ConvertTo(di, code)), d8, packed + l);
    }
    packed += kTritGroupBytes;
  }
  return grouped;
}

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

// Writes the 320 trits of a group in the order of its elements.
HWY_INLINE void UnpackGroup(const uint8_t* packed, int8_t* trits) {
  const hn::CappedTag<uint8_t, kTritGroupBytes> d;
  const hn::RebindToSigned<decltype(d)> di;
  const size_t lanes = hn::Lanes(d);
  const auto one = hn::Set(d, 1);
  constexpr uint8_t kPowers[kTritsPerByte] = {1, 3, 9, 27, 81};
  for (size_t l = 0; l < kTritGroupBytes; l += lanes) {
    auto rest = hn::LoadU(d, packed + l);
    for (size_t j = kTritsPerByte; j-- > 0;) {
      const auto power = hn::Set(d, kPowers[j]);
      const auto some = hn::Gt(rest, hn::Sub(power, one));
      const auto most = hn::Gt(rest, hn::Set(d, 2 * kPowers[j] - 1));
      rest = hn::Sub(rest, hn::IfThenElseZero(some, power));
      rest = hn::Sub(rest, hn::IfThenElseZero(most, power));
      const auto digit =
          hn::Add(hn::IfThenElseZero(some, one), hn::IfThenElseZero(most, one));
      hn::StoreU(hn::BitCast(di, hn::Sub(digit, one)), di,
                 trits + kTritGroupBytes * j + l);
    }
  }
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
    UnpackGroup(packed + start / kTritsPerByte, trits);
    float* const group = target + start;
    for (size_t i = 0; i < kTritGroup; i += lanes) {
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
