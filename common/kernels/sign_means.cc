#include "common/kernels/sign_means.h"

#include <algorithm>
#include <cstring>

#include "common/kernels/pack.h"
#include "common/kernels/prefetch.h"
#include "common/kernels/target.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "common/kernels/sign_means.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
//
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace terse {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

constexpr size_t kRow = kPackGroup / 8;  // Elements of a group's bit.

// Adds whole runs of kSignMeanLanes elements, and returns how many.
size_t SumBySign(const float* HWY_RESTRICT values, size_t count,
                 SignSums& sums) {
  const hn::CappedTag<double, kSignMeanLanes> d;
  const hn::RebindToSigned<decltype(d)> di;
  const hn::Rebind<float, decltype(d)> df;
  const auto zero = hn::Zero(d);
  constexpr size_t kLanes = hn::MaxLanes(d);
  constexpr size_t kVectors = kSignMeanLanes / kLanes;
  hn::Vec<decltype(d)> negative[kVectors];
  hn::Vec<decltype(d)> positive[kVectors];
  for (size_t v = 0; v < kVectors; ++v) negative[v] = positive[v] = zero;
  size_t negatives = 0;
  size_t i = 0;
  for (; i + kSignMeanLanes <= count; i += kSignMeanLanes) {
    for (size_t v = 0; v < kVectors; ++v) {
      const auto x = hn::PromoteTo(d, hn::LoadU(df, values + i + v * kLanes));
      // A zero with the sign bit adds nothing but counts.
      const auto below =
          hn::RebindMask(d, hn::Lt(hn::BitCast(di, x), hn::Zero(di)));
      negative[v] = hn::Add(negative[v], hn::IfThenElseZero(below, hn::Neg(x)));
      positive[v] = hn::Add(positive[v], hn::IfThenZeroElse(below, x));
      negatives += hn::CountTrue(d, below);
    }
  }
  for (size_t v = 0; v < kVectors; ++v) {
    hn::StoreU(negative[v], d, sums.negative + v * kLanes);
    hn::StoreU(positive[v], d, sums.positive + v * kLanes);
  }
  sums.negatives = negatives;
  return i;
}

size_t SubtractBySign(SignMeans means, float* values, size_t count) {
  const hn::ScalableTag<float> d;
  const hn::RebindToSigned<decltype(d)> di;
  const auto negative = hn::Set(d, -means.negative);
  const auto positive = hn::Set(d, means.positive);
  size_t i = 0;
  for (; i + hn::Lanes(d) <= count; i += hn::Lanes(d)) {
    const auto x = hn::LoadU(d, values + i);
    const auto below =
        hn::RebindMask(d, hn::Lt(hn::BitCast(di, x), hn::Zero(di)));
    hn::StoreU(hn::Sub(x, hn::IfThenElse(below, negative, positive)), d,
               values + i);
  }
  return i;
}

// Adds the whole groups, and returns how many elements those are.
// Requires: a row lies in one bucket.
size_t AddGroups(const uint8_t* HWY_RESTRICT means,
                 const uint8_t* HWY_RESTRICT packed, size_t bucket,
                 size_t count, float weight, float* HWY_RESTRICT target) {
  const hn::CappedTag<float, kRow> d;
  const hn::RebindToUnsigned<decltype(d)> du;
  const hn::Rebind<uint8_t, decltype(d)> d8;
  size_t start = 0;
  for (; start + kPackGroup <= count; start += kPackGroup, packed += kRow) {
    float sides[8][2];
    for (size_t r = 0; r < 8; ++r) {
      const size_t b = (start + r * kRow) / bucket;
      std::memcpy(sides[r], means + b * sizeof(sides[r]), sizeof(sides[r]));
      sides[r][0] = -sides[r][0] * weight;
      sides[r][1] = sides[r][1] * weight;
    }
    for (size_t column = 0; column < kRow; column += hn::Lanes(d)) {
      const auto signs = hn::PromoteTo(du, hn::LoadU(d8, packed + column));
      for (size_t r = 0; r < 8; ++r) {
        float* const to = target + start + r * kRow + column;
        PrefetchAhead(to);
        const auto above = hn::TestBit(signs, hn::Set(du, 1u << r));
        const auto value =
            hn::IfThenElse(hn::RebindMask(d, above), hn::Set(d, sides[r][1]),
                           hn::Set(d, sides[r][0]));
        hn::StoreU(hn::Add(hn::LoadU(d, to), value), d, to);
      }
    }
  }
  return start;
}

}  // namespace HWY_NAMESPACE
}  // namespace terse
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace terse {

HWY_EXPORT(SumBySign);
HWY_EXPORT(SubtractBySign);
HWY_EXPORT(AddGroups);

SignMeans MeansBySign(const float* values, size_t count) {
  if (ScalarKernelsForced()) return reference::MeansBySign(values, count);
  SignSums sums;
  size_t i = HWY_DYNAMIC_DISPATCH(SumBySign)(values, count, sums);
  for (size_t lane = 0; i < count; ++i, ++lane) sums.Add(values[i], lane);
  return sums.Means(count);
}

void SubtractSignMeans(SignMeans means, float* values, size_t count) {
  const size_t done =
      ScalarKernelsForced()
          ? 0
          : HWY_DYNAMIC_DISPATCH(SubtractBySign)(means, values, count);
  reference::SubtractSignMeans(means, values + done, count - done);
}

void AddSignMeans(const uint8_t* means, const uint8_t* packed, size_t bucket,
                  size_t count, float weight, float* target) {
  size_t done = 0;
  if (!ScalarKernelsForced() && bucket % (kPackGroup / 8) == 0) {
    done = HWY_DYNAMIC_DISPATCH(AddGroups)(means, packed, bucket, count, weight,
                                           target);
  }
  reference::AddSignMeans(means, packed, bucket, done, count, weight, target);
}

}  // namespace terse
#endif  // HWY_ONCE
