// Vectors of words loaded from and stored to bytes of any alignment. Included
// once per target.
#if defined(TERSE_COMMON_KERNELS_BYTES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TERSE_COMMON_KERNELS_BYTES_INL_H_
#undef TERSE_COMMON_KERNELS_BYTES_INL_H_
#else
#define TERSE_COMMON_KERNELS_BYTES_INL_H_
#endif

#include <cstdint>
#include <cstring>

#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace terse {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

template <class D>
HWY_INLINE hn::Vec<D> LoadBytes([[maybe_unused]] D d, const uint8_t* source) {
#if HWY_TARGET == HWY_SCALAR  // One lane, which cannot become several.
  hn::TFromD<D> word;
  std::memcpy(&word, source, sizeof(word));
  return hn::Set(d, word);
#else
  const hn::Repartition<uint8_t, D> d8;
  return hn::BitCast(d, hn::LoadU(d8, source));
#endif
}

template <class D>
HWY_INLINE void StoreBytes([[maybe_unused]] D d, hn::Vec<D> v,
                           uint8_t* target) {
#if HWY_TARGET == HWY_SCALAR
  const hn::TFromD<D> word = hn::GetLane(v);
  std::memcpy(target, &word, sizeof(word));
#else
  const hn::Repartition<uint8_t, D> d8;
  hn::StoreU(hn::BitCast(d8, v), d8, target);
#endif
}

}  // namespace HWY_NAMESPACE
}  // namespace terse
HWY_AFTER_NAMESPACE();

#endif  // TERSE_COMMON_KERNELS_BYTES_INL_H_
