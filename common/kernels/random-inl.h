// RandomBits of common/base/random.h, a vector of elements at a time. Included
// once per target.
#if defined(TERSE_COMMON_KERNELS_RANDOM_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TERSE_COMMON_KERNELS_RANDOM_INL_H_
#undef TERSE_COMMON_KERNELS_RANDOM_INL_H_
#else
#define TERSE_COMMON_KERNELS_RANDOM_INL_H_
#endif

#include <cstdint>

#include "common/kernels/random_segment.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace terse {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Draws for the run that starts at `first_index`; see InOneSegment.
template <class DU>
class RandomRun {
 public:
  using V = hn::Vec<DU>;

  RandomRun(DU du, uint64_t key, uint64_t first_index) : du_(du) {
    const uint64_t segment_key = SegmentKey(key, first_index);
    high_ = hn::Set(du, static_cast<uint32_t>(segment_key >> 32));
    // Lane l starts at (first_index + l) * kStep + the key's lower half.
    const auto lane = hn::Iota(du, static_cast<uint32_t>(first_index));
    base_ = hn::Add(hn::Mul(lane, hn::Set(du, kStep)),
                    hn::Set(du, static_cast<uint32_t>(segment_key)));
  }

  // Lane l gets the bits of element i + l.
  HWY_INLINE V Draw(size_t i) const { return Mix(Position(i)); }

  // Lane l gets RandomHalf(key, first_index, i + l). Where i is a multiple of
  // twice 32, the lower halves of Draw(i) are those of the elements from i on
  // and the upper halves those of the elements from i + 32 on.
  HWY_INLINE V DrawHalf(size_t i) const {
    const auto upper = hn::Set(du_, 32u);
    const auto place = hn::Iota(du_, static_cast<uint32_t>(i));
    const auto in_upper = hn::Ne(hn::And(place, upper), hn::Zero(du_));
    const auto bits = Mix(hn::Sub(
        Position(i), hn::IfThenElseZero(in_upper, hn::Set(du_, 32 * kStep))));
    return hn::IfThenElse(in_upper, hn::ShiftRight<16>(bits),
                          hn::And(bits, hn::Set(du_, 0xffffu)));
  }

  // Draw in two steps: positions of a run are linear in the index, so that
  // Position(i + k) is Position(i) + Offset(k).
  HWY_INLINE V Position(size_t i) const { return hn::Add(base_, Offset(i)); }
  HWY_INLINE V Offset(size_t i) const {
    return hn::Set(du_, static_cast<uint32_t>(i) * kStep);
  }
  HWY_INLINE V Mix(V x) const {
    x = hn::Xor(x, hn::ShiftRight<16>(x));
    x = hn::Mul(x, hn::Set(du_, 0x7feb352du));
    x = hn::Xor(x, hn::ShiftRight<15>(x));
    x = hn::Add(x, high_);
    x = hn::Mul(x, hn::Set(du_, 0x846ca68bu));
    return hn::Xor(x, hn::ShiftRight<16>(x));
  }

 private:
  static constexpr uint32_t kStep = 0x9e3779b9u;

  DU du_;
  V base_;
  V high_;
};

}  // namespace HWY_NAMESPACE
}  // namespace terse
HWY_AFTER_NAMESPACE();

#endif  // TERSE_COMMON_KERNELS_RANDOM_INL_H_
