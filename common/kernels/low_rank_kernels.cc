#include "common/kernels/low_rank_kernels.h"

#include <algorithm>

#include "common/kernels/target.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "common/kernels/low_rank_kernels.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
//
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace terse {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Rows that are added to the right factor at once: it is read and written once
// for all of them.
constexpr size_t kRowsAtOnce = 4;

HWY_INLINE void AddGradient(const float* HWY_RESTRICT gradient, float decay,
                            float* HWY_RESTRICT row, size_t count) {
  const hn::ScalableTag<float> d;
  const auto factor = hn::Set(d, decay);
  size_t i = 0;
  for (; i + hn::Lanes(d) <= count; i += hn::Lanes(d)) {
    const auto kept = hn::Mul(factor, hn::LoadU(d, row + i));
    hn::StoreU(hn::Add(kept, hn::LoadU(d, gradient + i)), d, row + i);
  }
  for (; i < count; ++i) row[i] = decay * row[i] + gradient[i];
}

HWY_INLINE float DotOf(const float* HWY_RESTRICT a, const float* HWY_RESTRICT b,
                       size_t count) {
  const hn::CappedTag<float, kLowRankLanes> d;
  constexpr size_t kLanes = hn::MaxLanes(d);
  constexpr size_t kVectors = kLowRankLanes / kLanes;
  hn::Vec<decltype(d)> sums[kVectors];
  for (size_t v = 0; v < kVectors; ++v) sums[v] = hn::Zero(d);
  size_t i = 0;
  for (; i + kLowRankLanes <= count; i += kLowRankLanes) {
    for (size_t v = 0; v < kVectors; ++v) {
      sums[v] = hn::Add(sums[v], hn::Mul(hn::LoadU(d, a + i + v * kLanes),
                                         hn::LoadU(d, b + i + v * kLanes)));
    }
  }
  float lanes[kLowRankLanes];
  for (size_t v = 0; v < kVectors; ++v) {
    hn::StoreU(sums[v], d, lanes + v * kLanes);
  }
  for (size_t l = 0; i < count; ++i, ++l) lanes[l] += a[i] * b[i];
  return FoldLowRankLanes(lanes);
}

void MultiplyRightKernel(const LowRankSize& size, const float* gradient,
                         float decay, float* matrix, const float* right,
                         float* left) {
  for (size_t row = 0; row < size.rows; ++row) {
    float* const values = matrix + row * size.columns;
    if (gradient != nullptr) {
      AddGradient(gradient + row * size.columns, decay, values, size.columns);
    }
    for (size_t k = 0; k < size.rank; ++k) {
      left[k * size.rows + row] =
          DotOf(values, right + k * size.columns, size.columns);
    }
  }
}

// to += factors[0] * rows[0] + ... + factors[kRows - 1] * rows[kRows - 1], from
// left to right.
template <size_t kRows>
HWY_INLINE void AddRows(const float* HWY_RESTRICT rows, size_t count,
                        const float* factors, float* HWY_RESTRICT to) {
  const hn::ScalableTag<float> d;
  size_t i = 0;
  for (; i + hn::Lanes(d) <= count; i += hn::Lanes(d)) {
    auto sum = hn::LoadU(d, to + i);
    for (size_t r = 0; r < kRows; ++r) {
      sum = hn::Add(sum, hn::Mul(hn::Set(d, factors[r]),
                                 hn::LoadU(d, rows + r * count + i)));
    }
    hn::StoreU(sum, d, to + i);
  }
  for (; i < count; ++i) {
    for (size_t r = 0; r < kRows; ++r) {
      to[i] += factors[r] * rows[r * count + i];
    }
  }
}

void MultiplyLeftKernel(const LowRankSize& size, const float* matrix,
                        const float* left, float* right) {
  std::fill_n(right, size.rank * size.columns, 0.0f);
  size_t row = 0;
  for (; row + kRowsAtOnce <= size.rows; row += kRowsAtOnce) {
    for (size_t k = 0; k < size.rank; ++k) {
      AddRows<kRowsAtOnce>(matrix + row * size.columns, size.columns,
                           left + k * size.rows + row,
                           right + k * size.columns);
    }
  }
  for (; row < size.rows; ++row) {
    for (size_t k = 0; k < size.rank; ++k) {
      AddRows<1>(matrix + row * size.columns, size.columns,
                 left + k * size.rows + row, right + k * size.columns);
    }
  }
}

// Of one row: the sums of the factors' products replace or are taken from it.
template <bool kSubtract>
HWY_INLINE void ProductOfRow(const LowRankSize& size,
                             const float* HWY_RESTRICT left,
                             const float* HWY_RESTRICT right, size_t row,
                             float* HWY_RESTRICT to) {
  const hn::ScalableTag<float> d;
  size_t i = 0;
  for (; i + hn::Lanes(d) <= size.columns; i += hn::Lanes(d)) {
    auto sum = hn::Zero(d);
    for (size_t k = 0; k < size.rank; ++k) {
      sum = hn::Add(sum, hn::Mul(hn::Set(d, left[k * size.rows + row]),
                                 hn::LoadU(d, right + k * size.columns + i)));
    }
    if (kSubtract) sum = hn::Sub(hn::LoadU(d, to + i), sum);
    hn::StoreU(sum, d, to + i);
  }
  for (; i < size.columns; ++i) {
    float sum = 0;
    for (size_t k = 0; k < size.rank; ++k) {
      sum += left[k * size.rows + row] * right[k * size.columns + i];
    }
    to[i] = kSubtract ? to[i] - sum : sum;
  }
}

void MultiplyFactorsKernel(const LowRankSize& size, const float* left,
                           const float* right, float* matrix) {
  for (size_t row = 0; row < size.rows; ++row) {
    ProductOfRow<false>(size, left, right, row, matrix + row * size.columns);
  }
}

void SubtractFactorsKernel(const LowRankSize& size, const float* left,
                           const float* right, float* matrix) {
  for (size_t row = 0; row < size.rows; ++row) {
    ProductOfRow<true>(size, left, right, row, matrix + row * size.columns);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace terse
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace terse {

HWY_EXPORT(MultiplyRightKernel);
HWY_EXPORT(MultiplyLeftKernel);
HWY_EXPORT(MultiplyFactorsKernel);
HWY_EXPORT(SubtractFactorsKernel);

void LowRankMultiplyRight(const LowRankSize& size, const float* gradient,
                          float decay, float* matrix, const float* right,
                          float* left) {
  if (ScalarKernelsForced()) {
    return reference::LowRankMultiplyRight(size, gradient, decay, matrix, right,
                                           left);
  }
  HWY_DYNAMIC_DISPATCH(MultiplyRightKernel)
  (size, gradient, decay, matrix, right, left);
}

void LowRankMultiplyLeft(const LowRankSize& size, const float* matrix,
                         const float* left, float* right) {
  if (ScalarKernelsForced()) {
    return reference::LowRankMultiplyLeft(size, matrix, left, right);
  }
  HWY_DYNAMIC_DISPATCH(MultiplyLeftKernel)(size, matrix, left, right);
}

void LowRankMultiplyFactors(const LowRankSize& size, const float* left,
                            const float* right, float* matrix) {
  if (ScalarKernelsForced()) {
    return reference::LowRankMultiplyFactors(size, left, right, matrix);
  }
  HWY_DYNAMIC_DISPATCH(MultiplyFactorsKernel)(size, left, right, matrix);
}

void LowRankSubtractFactors(const LowRankSize& size, const float* left,
                            const float* right, float* matrix) {
  if (ScalarKernelsForced()) {
    return reference::LowRankSubtractFactors(size, left, right, matrix);
  }
  HWY_DYNAMIC_DISPATCH(SubtractFactorsKernel)(size, left, right, matrix);
}

}  // namespace terse
#endif  // HWY_ONCE
