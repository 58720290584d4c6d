#include <algorithm>
#include <bit>
#include <cmath>

#include "common/kernels/moments.h"

namespace terse {

double FoldLanes(double (&lanes)[kMomentLanes]) {
  for (size_t half = kMomentLanes / 2; half > 0; half /= 2) {
    for (size_t lane = 0; lane < half; ++lane) {
      lanes[lane] += lanes[lane + half];
    }
  }
  return lanes[0];
}

void SumInDouble(const float* values, size_t count, BlockMoments& moments) {
  moments.sum = 0;
  moments.sum_squares = 0;
  for (size_t i = 0; i < count; ++i) {
    const double x = values[i];
    moments.sum += x;
    moments.sum_squares += x * x;
  }
}

double AbsoluteSumInDouble(const float* values, size_t count) {
  double sum = 0;
  for (size_t i = 0; i < count; ++i) sum += std::fabs(double{values[i]});
  return sum;
}

namespace reference {
namespace {

template <bool kAbsolute, bool kSquares>
BlockMoments Sum(const float* x, size_t count) {
  BlockMoments moments;
  double sums[kMomentLanes] = {};
  double squares[kMomentLanes] = {};
  for (size_t start = 0; start < count; start += kMomentRun) {
    float run_sums[kMomentLanes] = {};
    float run_squares[kMomentLanes] = {};
    const size_t end = std::min(count, start + kMomentRun);
    for (size_t i = start; i < end; ++i) {
      const size_t lane = i % kMomentLanes;
      run_sums[lane] += kAbsolute ? std::fabs(x[i]) : x[i];
      run_squares[lane] += x[i] * x[i];
    }
    for (size_t lane = 0; lane < kMomentLanes; ++lane) {
      sums[lane] += run_sums[lane];
      squares[lane] += run_squares[lane];
    }
  }
  moments.sum = FoldLanes(sums);
  if (kSquares) moments.sum_squares = FoldLanes(squares);
  return moments;
}

}  // namespace

uint32_t AddMaxAbs(const float* values, size_t count, float* residual) {
  uint32_t max = 0;
  for (size_t i = 0; i < count; ++i) {
    float x = values[i];
    if (residual != nullptr) x = residual[i] += x;
    max = std::max(max, std::bit_cast<uint32_t>(x) & 0x7fffffffu);
  }
  return max;
}

BlockMoments AddAbsoluteSum(const float* values, size_t count,
                            float* residual) {
  const uint32_t max = AddMaxAbs(values, count, residual);
  const float* x = residual != nullptr ? residual : values;
  BlockMoments moments;
  if (MagnitudesFit(max)) {
    moments = Sum<true, false>(x, count);
  } else {
    moments.sum = AbsoluteSumInDouble(x, count);
  }
  moments.max_abs_bits = max;
  return moments;
}

BlockMoments AddMoments(const float* values, size_t count, float* residual) {
  const uint32_t max = AddMaxAbs(values, count, residual);
  const float* x = residual != nullptr ? residual : values;
  BlockMoments moments;
  if (SquaresFit(max)) {
    moments = Sum<false, true>(x, count);
  } else {
    SumInDouble(x, count, moments);
  }
  moments.max_abs_bits = max;
  return moments;
}

}  // namespace reference
}  // namespace terse
