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

using TritTag = hn::CappedTag<int8_t, kTritGroupBytes>;

// A vector of trits as masks: -1 where neither, 0 where the first, 1 where
// both.
struct TritMasks {
  using Mask = hn::Mask<hn::RebindToUnsigned<TritTag>>;
  Mask some;
  Mask most;

  // v + trit
  HWY_INLINE hn::Vec<TritTag> AddTo(hn::Vec<TritTag> v) const {
    const TritTag d;
    const auto one = hn::Set(d, 1);
    v = hn::IfThenElse(hn::RebindMask(d, some), v, hn::Sub(v, one));
    return hn::IfThenElse(hn::RebindMask(d, most), hn::Add(v, one), v);
  }
};

// Calls visit(i, masks) for vectors of trits of a group, i being the place of
// the first in the group.
template <class Visit>
HWY_INLINE void ForTrits(const uint8_t* packed, const Visit& visit) {
  const hn::RebindToUnsigned<TritTag> d;
  const size_t lanes = hn::Lanes(d);
  for (size_t l = 0; l < kTritGroupBytes; l += lanes) {
    auto rest = hn::LoadU(d, packed + l);
    // Digits by comparison: 0, 1 or 2 times the power goes.
    const auto take = [&](size_t j, uint8_t power) HWY_ATTR {
      const auto powers = hn::Set(d, power);
      const auto some = hn::Gt(rest, hn::Set(d, power - 1));
      const auto most = hn::Gt(rest, hn::Set(d, 2 * power - 1));
      rest = hn::IfThenElse(some, hn::Sub(rest, powers), rest);
      rest = hn::IfThenElse(most, hn::Sub(rest, powers), rest);
      visit(kTritGroupBytes * j + l, TritMasks{some, most});
    };
    take(4, 81);
    take(3, 27);
    take(2, 9);
    take(1, 3);
    take(0, 1);
  }
}

// Writes the trits of a group in the order of its elements.
HWY_INLINE void UnpackTrits(const uint8_t* packed, int8_t* trits) {
  const TritTag d;
  ForTrits(packed, [&](size_t i, const TritMasks& masks) HWY_ATTR {
    hn::StoreU(masks.AddTo(hn::Zero(d)), d, trits + i);
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace terse
HWY_AFTER_NAMESPACE();

#endif  // TERSE_COMMON_KERNELS_TRITS_INL_H_
