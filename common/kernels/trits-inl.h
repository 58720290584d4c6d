// Unpacks whole groups of trits; see ternary.h. Included once per target.
#if defined(TERSE_COMMON_KERNELS_TRITS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TERSE_COMMON_KERNELS_TRITS_INL_H_
#undef TERSE_COMMON_KERNELS_TRITS_INL_H_
#else
#define TERSE_COMMON_KERNELS_TRITS_INL_H_
#endif

#include <cstddef>
#include <cstdint>

#include "common/kernels/ternary.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace terse {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Calls visit(i, trits) for vectors of trits (int8) of a group, i being the
// place of the first in the group.
template <class Visit>
HWY_INLINE void ForTrits(const uint8_t* packed, const Visit& visit) {
  const hn::CappedTag<uint8_t, kTritGroupBytes> d;
  const hn::RebindToSigned<decltype(d)> di;
  const size_t lanes = hn::Lanes(d);
  const auto one = hn::Set(d, 1);
  constexpr uint8_t kPowers[kTritsPerByte] = {1, 3, 9, 27, 81};
  for (size_t l = 0; l < kTritGroupBytes; l += lanes) {
    auto rest = hn::LoadU(d, packed + l);
    for (size_t j = kTritsPerByte; j-- > 0;) {
      // Digits by comparison: 0, 1 or 2 times the power goes.
      const auto power = hn::Set(d, kPowers[j]);
      const auto some = hn::Gt(rest, hn::Set(d, kPowers[j] - 1));
      const auto most = hn::Gt(rest, hn::Set(d, 2 * kPowers[j] - 1));
      rest = hn::Sub(rest, hn::IfThenElseZero(some, power));
      rest = hn::Sub(rest, hn::IfThenElseZero(most, power));
      const auto digit =
          hn::Add(hn::IfThenElseZero(some, one), hn::IfThenElseZero(most, one));
      visit(kTritGroupBytes * j + l, hn::BitCast(di, hn::Sub(digit, one)));
    }
  }
}

// Writes the trits of a group in the order of its elements.
HWY_INLINE void UnpackTrits(const uint8_t* packed, int8_t* trits) {
  const hn::CappedTag<int8_t, kTritGroupBytes> d;
  ForTrits(packed, [&](size_t i, auto part)
                       HWY_ATTR { hn::StoreU(part, d, trits + i); });
}

}  // namespace HWY_NAMESPACE
}  // namespace terse
HWY_AFTER_NAMESPACE();

#endif  // TERSE_COMMON_KERNELS_TRITS_INL_H_
