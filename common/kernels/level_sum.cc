#include "common/kernels/level_sum.h"

#include <algorithm>

#include "common/kernels/levels.h"
#include "common/kernels/pack.h"
#include "common/kernels/prefetch.h"
#include "common/kernels/target.h"
#include "common/kernels/ternary.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "common/kernels/level_sum.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
//
#include "common/kernels/pack-inl.h"
#include "common/kernels/trits-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace terse {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

void AddTernary8(const uint8_t* packed, size_t count, int8_t* sums) {
  const TritTag d;
  const size_t grouped = count / kTritGroup * kTritGroup;
  for (size_t start = 0; start < grouped; start += kTritGroup) {
    int8_t* const group = sums + start;
    ForTrits(packed + start / kTritsPerByte,
             [&](size_t i, const TritMasks& trits) HWY_ATTR {
               PrefetchAhead(group + i);
               hn::StoreU(trits.AddTo(hn::LoadU(d, group + i)), d, group + i);
             });
  }
  reference::AddTernaryTail(packed, grouped, count, sums);
}

template <typename Sum>
HWY_INLINE void AddTernaryWide(const uint8_t* packed, size_t count, Sum* sums) {
  const hn::ScalableTag<Sum> d;
  const hn::Rebind<int8_t, decltype(d)> d8;
  const size_t lanes = hn::Lanes(d);
  const size_t grouped = count / kTritGroup * kTritGroup;
  alignas(64) int8_t unpacked[kTritGroup];
  for (size_t start = 0; start < grouped; start += kTritGroup) {
    UnpackTrits(packed + start / kTritsPerByte, unpacked);
    Sum* const group = sums + start;
    for (size_t i = 0; i < kTritGroup; i += lanes) {
      PrefetchAhead(group + i);
      const auto trits = hn::PromoteTo(d, hn::LoadU(d8, unpacked + i));
      hn::StoreU(hn::Add(hn::LoadU(d, group + i), trits), d, group + i);
    }
  }
  reference::AddTernaryTail(packed, grouped, count, sums);
}

void AddTernary16(const uint8_t* packed, size_t count, int16_t* sums) {
  AddTernaryWide(packed, count, sums);
}
void AddTernary32(const uint8_t* packed, size_t count, int32_t* sums) {
  AddTernaryWide(packed, count, sums);
}

template <typename Code, typename Sum>
HWY_INLINE void AddCodesAs(const uint8_t* packed, size_t count, uint32_t bits,
                           uint32_t zero, Sum* sums) {
  const hn::CappedTag<Sum, kPackGroup> d;
  const hn::Rebind<Code, decltype(d)> dc;
  const size_t lanes = hn::Lanes(d);
  const auto zeros = hn::Set(d, static_cast<Sum>(zero));
  const size_t grouped = count / kPackGroup * kPackGroup;
  alignas(64) Code codes[kPackGroup];
  for (size_t start = 0; start < grouped; start += kPackGroup) {
    UnpackCodes(packed, bits, codes);
    packed += kPackGroup / 8 * bits;
    Sum* const group = sums + start;
    for (size_t i = 0; i < kPackGroup; i += lanes) {
      const auto code = hn::LoadU(dc, codes + i);
      auto level = zeros;
      if constexpr (sizeof(Code) == sizeof(Sum)) {
        level = hn::Sub(hn::BitCast(d, code), zeros);
      } else {
        level = hn::Sub(hn::PromoteTo(d, code), zeros);
      }
      hn::StoreU(hn::Add(hn::LoadU(d, group + i), level), d, group + i);
    }
  }
  reference::AddCodes(packed, count - grouped, bits, zero, sums + grouped);
}

void AddCodes8(const uint8_t* packed, size_t count, uint32_t bits,
               uint32_t zero, int8_t* sums) {
  AddCodesAs<uint8_t>(packed, count, bits, zero, sums);
}
void AddCodes16(const uint8_t* packed, size_t count, uint32_t bits,
                uint32_t zero, int16_t* sums) {
  if (bits <= 8) {
    AddCodesAs<uint8_t>(packed, count, bits, zero, sums);
  } else {
    AddCodesAs<uint16_t>(packed, count, bits, zero, sums);
  }
}
void AddCodes32(const uint8_t* packed, size_t count, uint32_t bits,
                uint32_t zero, int32_t* sums) {
  if (bits <= 8) {
    AddCodesAs<uint8_t>(packed, count, bits, zero, sums);
  } else {
    AddCodesAs<uint16_t>(packed, count, bits, zero, sums);
  }
}

template <typename Code, typename Sum>
HWY_INLINE void PackSumsAs(const Sum* sums, size_t count, uint32_t bias,
                           uint32_t bits, uint8_t* packed) {
  const hn::CappedTag<Code, kPackGroup> d;
  const hn::RebindToSigned<decltype(d)> di;
  const size_t lanes = hn::Lanes(d);
  const auto biases = hn::Set(d, static_cast<Code>(bias));
  const size_t grouped = count / kPackGroup * kPackGroup;
  alignas(64) Code codes[kPackGroup];
  for (size_t start = 0; start < grouped; start += kPackGroup) {
    for (size_t i = 0; i < kPackGroup; i += lanes) {
      const auto sum = hn::BitCast(d, hn::LoadU(di, sums + start + i));
      hn::Store(hn::Add(sum, biases), d, codes + i);
    }
    PackCodes(codes, bits, packed);
    packed += kPackGroup / 8 * bits;
  }
  reference::PackSums(sums + grouped, count - grouped, bias, bits, packed);
}

void PackSums8(const int8_t* sums, size_t count, uint32_t bias, uint32_t bits,
               uint8_t* packed) {
  PackSumsAs<uint8_t>(sums, count, bias, bits, packed);
}
void PackSums16(const int16_t* sums, size_t count, uint32_t bias, uint32_t bits,
                uint8_t* packed) {
  PackSumsAs<uint16_t>(sums, count, bias, bits, packed);
}

// Codes of at most 16 bits.
template <typename Code>
HWY_INLINE void UnpackSumsAs(const uint8_t* packed, size_t count, uint32_t bits,
                             float middle, float step, float* target) {
  const hn::ScalableTag<float> d;
  const hn::RebindToSigned<decltype(d)> di;
  const hn::Rebind<Code, decltype(d)> dc;
  const size_t lanes = hn::Lanes(d);
  const auto middles = hn::Set(d, middle);
  const auto steps = hn::Set(d, step);
  const size_t grouped = count / kPackGroup * kPackGroup;
  alignas(64) Code codes[kPackGroup];
  for (size_t start = 0; start < grouped; start += kPackGroup) {
    UnpackCodes(packed, bits, codes);
    for (size_t i = 0; i < kPackGroup; i += lanes) {
      const auto code = hn::PromoteTo(di, hn::Load(dc, codes + i));
      const auto sum = hn::Sub(hn::ConvertTo(d, code), middles);
      hn::StoreU(hn::Mul(sum, steps), d, target + start + i);
    }
    packed += kPackGroup / 8 * bits;
  }
  reference::UnpackSums(packed, count - grouped, bits, middle, step,
                        target + grouped);
}

void UnpackSumsKernel(const uint8_t* packed, size_t count, uint32_t bits,
                      float middle, float step, float* target) {
  if (bits <= 8) {
    UnpackSumsAs<uint8_t>(packed, count, bits, middle, step, target);
  } else {
    UnpackSumsAs<uint16_t>(packed, count, bits, middle, step, target);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace terse
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace terse {

HWY_EXPORT(AddTernary8);
HWY_EXPORT(AddTernary16);
HWY_EXPORT(AddTernary32);
HWY_EXPORT(AddCodes8);
HWY_EXPORT(AddCodes16);
HWY_EXPORT(AddCodes32);
HWY_EXPORT(PackSums8);
HWY_EXPORT(PackSums16);
HWY_EXPORT(UnpackSumsKernel);

void AddTernary(const uint8_t* packed, size_t count, int8_t* sums) {
  if (ScalarKernelsForced()) return reference::AddTernary(packed, count, sums);
  HWY_DYNAMIC_DISPATCH(AddTernary8)(packed, count, sums);
}
void AddTernary(const uint8_t* packed, size_t count, int16_t* sums) {
  if (ScalarKernelsForced()) return reference::AddTernary(packed, count, sums);
  HWY_DYNAMIC_DISPATCH(AddTernary16)(packed, count, sums);
}
void AddTernary(const uint8_t* packed, size_t count, int32_t* sums) {
  if (ScalarKernelsForced()) return reference::AddTernary(packed, count, sums);
  HWY_DYNAMIC_DISPATCH(AddTernary32)(packed, count, sums);
}

void AddCodes(const uint8_t* packed, size_t count, uint32_t bits, uint32_t zero,
              int8_t* sums) {
  // Wider codes leave the range of such sums.
  if (ScalarKernelsForced() || bits > 8) {
    return reference::AddCodes(packed, count, bits, zero, sums);
  }
  HWY_DYNAMIC_DISPATCH(AddCodes8)(packed, count, bits, zero, sums);
}
void AddCodes(const uint8_t* packed, size_t count, uint32_t bits, uint32_t zero,
              int16_t* sums) {
  if (ScalarKernelsForced()) {
    return reference::AddCodes(packed, count, bits, zero, sums);
  }
  HWY_DYNAMIC_DISPATCH(AddCodes16)(packed, count, bits, zero, sums);
}
void AddCodes(const uint8_t* packed, size_t count, uint32_t bits, uint32_t zero,
              int32_t* sums) {
  if (ScalarKernelsForced()) {
    return reference::AddCodes(packed, count, bits, zero, sums);
  }
  HWY_DYNAMIC_DISPATCH(AddCodes32)(packed, count, bits, zero, sums);
}

void PackSums(const int8_t* sums, size_t count, uint32_t bias, uint32_t bits,
              uint8_t* packed) {
  if (ScalarKernelsForced()) {
    return reference::PackSums(sums, count, bias, bits, packed);
  }
  HWY_DYNAMIC_DISPATCH(PackSums8)(sums, count, bias, bits, packed);
}
void PackSums(const int16_t* sums, size_t count, uint32_t bias, uint32_t bits,
              uint8_t* packed) {
  if (ScalarKernelsForced()) {
    return reference::PackSums(sums, count, bias, bits, packed);
  }
  HWY_DYNAMIC_DISPATCH(PackSums16)(sums, count, bias, bits, packed);
}
// Such sums are those of very many workers or levels; the plain way serves.
void PackSums(const int32_t* sums, size_t count, uint32_t bias, uint32_t bits,
              uint8_t* packed) {
  reference::PackSums(sums, count, bias, bits, packed);
}

size_t PackedSumBytes(size_t count, uint32_t bits) {
  if (bits <= 16) return PackedCodeBytes(count, bits);
  return PackedCodeBytes(count, 16) + PackedCodeBytes(count, bits - 16);
}

void UnpackSums(const uint8_t* packed, size_t count, uint32_t bits,
                float middle, float step, float* target) {
  if (ScalarKernelsForced() || bits > 16) {
    return reference::UnpackSums(packed, count, bits, middle, step, target);
  }
  HWY_DYNAMIC_DISPATCH(UnpackSumsKernel)
  (packed, count, bits, middle, step, target);
}

namespace {

bool PaddingIsZero(const uint8_t* packed, size_t count, uint32_t bits) {
  const size_t last_bits = count % kPackGroup * bits % 8;
  return last_bits == 0 ||
         packed[PackedCodeBytes(count, bits) - 1] >> last_bits == 0;
}

template <typename Sum>
void ScaleEach(const Sum* sums, size_t count, float offset, float step,
               float* target) {
  for (size_t i = 0; i < count; ++i) {
    target[i] = (static_cast<float>(sums[i]) + offset) * step;
  }
}

}  // namespace

bool SumsAreValid(const uint8_t* packed, size_t count, uint32_t bits,
                  uint32_t top) {
  if (bits <= 16) {
    return PaddingIsZero(packed, count, bits) &&
           MaxCode(packed, count, bits) <= top;
  }
  const uint8_t* const upper = packed + PackedCodeBytes(count, 16);
  return PaddingIsZero(upper, count, bits - 16) &&
         reference::MaxWideCode(packed, count, bits) <= top;
}

void ScaleSums(const int8_t* sums, size_t count, float offset, float step,
               float* target) {
  ScaleEach(sums, count, offset, step, target);
}
void ScaleSums(const int16_t* sums, size_t count, float offset, float step,
               float* target) {
  ScaleEach(sums, count, offset, step, target);
}
void ScaleSums(const int32_t* sums, size_t count, float offset, float step,
               float* target) {
  ScaleEach(sums, count, offset, step, target);
}

}  // namespace terse
#endif  // HWY_ONCE
