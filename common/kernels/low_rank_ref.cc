#include <algorithm>

#include "common/kernels/low_rank_kernels.h"

namespace terse {

float FoldLowRankLanes(float (&lanes)[kLowRankLanes]) {
  for (size_t half = kLowRankLanes / 2; half > 0; half /= 2) {
    for (size_t l = 0; l < half; ++l) lanes[l] += lanes[l + half];
  }
  return lanes[0];
}

namespace reference {
namespace {

float Dot(const float* a, const float* b, size_t count) {
  float lanes[kLowRankLanes] = {};
  for (size_t i = 0; i < count; ++i) lanes[i % kLowRankLanes] += a[i] * b[i];
  return FoldLowRankLanes(lanes);
}

// Element (row, column) of left right^T.
float Product(const LowRankSize& size, const float* left, const float* right,
              size_t row, size_t column) {
  float sum = 0;
  for (size_t k = 0; k < size.rank; ++k) {
    sum += left[k * size.rows + row] * right[k * size.columns + column];
  }
  return sum;
}

}  // namespace

void LowRankMultiplyRight(const LowRankSize& size, const float* gradient,
                          float decay, float* matrix, const float* right,
                          float* left) {
  if (gradient != nullptr) {
    for (size_t i = 0; i < size.rows * size.columns; ++i) {
      matrix[i] = decay * matrix[i] + gradient[i];
    }
  }
  for (size_t row = 0; row < size.rows; ++row) {
    for (size_t k = 0; k < size.rank; ++k) {
      left[k * size.rows + row] = Dot(matrix + row * size.columns,
                                      right + k * size.columns, size.columns);
    }
  }
}

void LowRankMultiplyLeft(const LowRankSize& size, const float* matrix,
                         const float* left, float* right) {
  std::fill_n(right, size.rank * size.columns, 0.0f);
  for (size_t row = 0; row < size.rows; ++row) {
    for (size_t k = 0; k < size.rank; ++k) {
      for (size_t column = 0; column < size.columns; ++column) {
        right[k * size.columns + column] +=
            left[k * size.rows + row] * matrix[row * size.columns + column];
      }
    }
  }
}

void LowRankMultiplyFactors(const LowRankSize& size, const float* left,
                            const float* right, float* matrix) {
  for (size_t row = 0; row < size.rows; ++row) {
    for (size_t column = 0; column < size.columns; ++column) {
      matrix[row * size.columns + column] =
          Product(size, left, right, row, column);
    }
  }
}

void LowRankSubtractFactors(const LowRankSize& size, const float* left,
                            const float* right, float* matrix) {
  for (size_t row = 0; row < size.rows; ++row) {
    for (size_t column = 0; column < size.columns; ++column) {
      matrix[row * size.columns + column] -=
          Product(size, left, right, row, column);
    }
  }
}

}  // namespace reference
}  // namespace terse
