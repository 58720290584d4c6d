// Statistics of a run of floats; the bodies behind moments.h. Included once per
// target.
#if defined(TERSE_COMMON_KERNELS_MOMENTS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TERSE_COMMON_KERNELS_MOMENTS_INL_H_
#undef TERSE_COMMON_KERNELS_MOMENTS_INL_H_
#else
#define TERSE_COMMON_KERNELS_MOMENTS_INL_H_
#endif

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "common/kernels/moments.h"
#include "common/kernels/prefetch.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace terse {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Loads x[i..], with the residual added and written back if there is one.
template <bool kResidual, class D>
HWY_INLINE hn::Vec<D> LoadSum(D d, const float* values, float* residual,
                              size_t i) {
  const auto x = hn::LoadU(d, values + i);
  PrefetchAhead(values + i);
  if constexpr (!kResidual) return x;
  PrefetchAhead(residual + i);
  const auto sum = hn::Add(hn::LoadU(d, residual + i), x);
  hn::StoreU(sum, d, residual + i);
  return sum;
}

template <bool kResidual>
HWY_INLINE float LoadSumOne(const float* values, float* residual, size_t i) {
  if constexpr (!kResidual) return values[i];
  return residual[i] += values[i];
}

HWY_INLINE uint32_t AbsBits(float x) {
  return std::bit_cast<uint32_t>(x) & 0x7fffffffu;
}

template <bool kResidual>
HWY_INLINE uint32_t MaxAbsRun(const float* values, size_t count,
                              float* residual) {
  const hn::ScalableTag<float> d;
  const hn::RebindToSigned<decltype(d)> di;
  const size_t lanes = hn::Lanes(d);
  const auto mask = hn::Set(di, 0x7fffffff);
  auto max0 = hn::Zero(di);
  auto max1 = hn::Zero(di);
  size_t i = 0;
  for (; i + 2 * lanes <= count; i += 2 * lanes) {
    const auto x0 = LoadSum<kResidual>(d, values, residual, i);
    const auto x1 = LoadSum<kResidual>(d, values, residual, i + lanes);
    max0 = hn::Max(max0, hn::And(hn::BitCast(di, x0), mask));
    max1 = hn::Max(max1, hn::And(hn::BitCast(di, x1), mask));
  }
  uint32_t max = static_cast<uint32_t>(
      hn::GetLane(hn::MaxOfLanes(di, hn::Max(max0, max1))));
  for (; i < count; ++i) {
    max = std::max(max, AbsBits(LoadSumOne<kResidual>(values, residual, i)));
  }
  return max;
}

// Sums of up to kMomentRun elements, one float lane each; see moments.h.
template <bool kResidual, bool kAbsolute, bool kSquares>
HWY_INLINE uint32_t SumRun(const float* values, size_t count, float* residual,
                           float (&sums)[kMomentLanes],
                           float (&squares)[kMomentLanes]) {
  const hn::ScalableTag<float> d;
  const hn::RebindToSigned<decltype(d)> di;
  using V = hn::Vec<decltype(d)>;
  constexpr size_t kLanes = hn::MaxLanes(d);
  constexpr size_t kVectors = kMomentLanes / kLanes;
  const auto mask = hn::Set(di, 0x7fffffff);
  V sum[kVectors];
  V square[kVectors];
  for (size_t v = 0; v < kVectors; ++v) sum[v] = square[v] = hn::Zero(d);
  auto max = hn::Zero(di);
  size_t i = 0;
  for (; i + kMomentLanes <= count; i += kMomentLanes) {
    for (size_t v = 0; v < kVectors; ++v) {
      const V x = LoadSum<kResidual>(d, values, residual, i + v * kLanes);
      const auto magnitude = hn::And(hn::BitCast(di, x), mask);
      max = hn::Max(max, magnitude);
      sum[v] = hn::Add(sum[v], kAbsolute ? hn::BitCast(d, magnitude) : x);
      if (kSquares) square[v] = hn::Add(square[v], hn::Mul(x, x));
    }
  }
  for (size_t v = 0; v < kVectors; ++v) {
    hn::StoreU(sum[v], d, sums + v * kLanes);
    hn::StoreU(square[v], d, squares + v * kLanes);
  }
  uint32_t max_bits =
      static_cast<uint32_t>(hn::GetLane(hn::MaxOfLanes(di, max)));
  for (size_t lane = 0; i < count; ++i, ++lane) {
    const float x = LoadSumOne<kResidual>(values, residual, i);
    max_bits = std::max(max_bits, AbsBits(x));
    sums[lane] += kAbsolute ? std::fabs(x) : x;
    if (kSquares) squares[lane] += x * x;
  }
  return max_bits;
}

// lanes[l] += run[l]
HWY_INLINE void AddLanes(const float (&run)[kMomentLanes],
                         double (&lanes)[kMomentLanes]) {
  const hn::ScalableTag<double> d;
  const hn::Rebind<float, decltype(d)> df;
  for (size_t lane = 0; lane < kMomentLanes; lane += hn::Lanes(d)) {
    const auto more = hn::PromoteTo(d, hn::LoadU(df, run + lane));
    hn::StoreU(hn::Add(hn::LoadU(d, lanes + lane), more), d, lanes + lane);
  }
}

template <bool kResidual, bool kAbsolute, bool kSquares>
BlockMoments SumBlock(const float* values, size_t count, float* residual) {
  BlockMoments moments;
  double sums[kMomentLanes] = {};
  double squares[kMomentLanes] = {};
  for (size_t start = 0; start < count; start += kMomentRun) {
    alignas(64) float run_sums[kMomentLanes];
    alignas(64) float run_squares[kMomentLanes];
    const uint32_t max = SumRun<kResidual, kAbsolute, kSquares>(
        values + start, std::min(kMomentRun, count - start),
        kResidual ? residual + start : nullptr, run_sums, run_squares);
    moments.max_abs_bits = std::max(moments.max_abs_bits, max);
    AddLanes(run_sums, sums);
    if (kSquares) AddLanes(run_squares, squares);
  }
  moments.sum = FoldLanes(sums);
  if (kSquares) moments.sum_squares = FoldLanes(squares);
  return moments;
}

HWY_INLINE uint32_t MaxAbsOf(const float* values, size_t count,
                             float* residual) {
  return residual != nullptr ? MaxAbsRun<true>(values, count, residual)
                             : MaxAbsRun<false>(values, count, nullptr);
}

HWY_INLINE BlockMoments MomentsOf(const float* values, size_t count,
                                  float* residual) {
  BlockMoments moments =
      residual != nullptr
          ? SumBlock<true, false, true>(values, count, residual)
          : SumBlock<false, false, true>(values, count, nullptr);
  if (!SquaresFit(moments.max_abs_bits)) {
    SumInDouble(residual != nullptr ? residual : values, count, moments);
  }
  return moments;
}

HWY_INLINE BlockMoments AbsoluteSumOf(const float* values, size_t count,
                                      float* residual) {
  BlockMoments moments =
      residual != nullptr
          ? SumBlock<true, true, false>(values, count, residual)
          : SumBlock<false, true, false>(values, count, nullptr);
  if (!MagnitudesFit(moments.max_abs_bits)) {
    moments.sum =
        AbsoluteSumInDouble(residual != nullptr ? residual : values, count);
  }
  return moments;
}

}  // namespace HWY_NAMESPACE
}  // namespace terse
HWY_AFTER_NAMESPACE();

#endif  // TERSE_COMMON_KERNELS_MOMENTS_INL_H_
