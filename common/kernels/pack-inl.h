// Packing of whole groups of codes, a vector of columns at a time; see pack.h.
// Included once per target.
#if defined(TERSE_COMMON_KERNELS_PACK_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TERSE_COMMON_KERNELS_PACK_INL_H_
#undef TERSE_COMMON_KERNELS_PACK_INL_H_
#else
#define TERSE_COMMON_KERNELS_PACK_INL_H_
#endif

#include <cstddef>
#include <cstdint>

#include "common/kernels/bytes-inl.h"
#include "common/kernels/pack.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace terse {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

template <typename Code>
using PackTag = hn::CappedTag<Code, kPackGroup / (8 * sizeof(Code))>;

template <typename Code>
HWY_INLINE void PackCodes(const Code* codes, uint32_t bits, uint8_t* packed) {
  const PackTag<Code> d;
  constexpr int kWordBits = 8 * sizeof(Code);
  constexpr size_t kColumns = kPackGroup / kWordBits;
  for (size_t column = 0; column < kColumns; column += hn::Lanes(d)) {
    auto pending = hn::Zero(d);
    int filled = 0;
    size_t word = 0;
    for (size_t row = 0; row < kWordBits; ++row) {
      const auto code = hn::LoadU(d, codes + row * kColumns + column);
      pending = hn::Or(pending, hn::ShiftLeftSame(code, filled));
      filled += static_cast<int>(bits);
      if (filled < kWordBits) continue;
      StoreBytes(d, pending,
                 packed + (word * kColumns + column) * sizeof(Code));
      ++word;
      filled -= kWordBits;
      // What of `code` did not fit; shifting by the whole width is undefined.
      pending = filled > 0
                    ? hn::ShiftRightSame(code, static_cast<int>(bits) - filled)
                    : hn::Zero(d);
    }
  }
}

template <typename Code>
HWY_INLINE void UnpackCodes(const uint8_t* packed, uint32_t bits, Code* codes) {
  const PackTag<Code> d;
  constexpr int kWordBits = 8 * sizeof(Code);
  constexpr size_t kColumns = kPackGroup / kWordBits;
  const auto mask = hn::Set(d, static_cast<Code>((1u << bits) - 1));
  for (size_t column = 0; column < kColumns; column += hn::Lanes(d)) {
    auto current = hn::Zero(d);
    int used = kWordBits;
    size_t word = 0;
    for (size_t row = 0; row < kWordBits; ++row) {
      auto code = hn::Zero(d);
      if (used < kWordBits) code = hn::ShiftRightSame(current, used);
      used += static_cast<int>(bits);
      if (used > kWordBits) {
        current =
            LoadBytes(d, packed + (word * kColumns + column) * sizeof(Code));
        ++word;
        used -= kWordBits;
        const int before = static_cast<int>(bits) - used;
        code = hn::Or(code, hn::ShiftLeftSame(current, before));
      }
      hn::StoreU(hn::And(code, mask), d, codes + row * kColumns + column);
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace terse
HWY_AFTER_NAMESPACE();

#endif  // TERSE_COMMON_KERNELS_PACK_INL_H_
