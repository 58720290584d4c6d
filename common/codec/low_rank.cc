#include "common/codec/low_rank.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "common/base/random.h"
#include "common/base/status.h"

namespace terse {
namespace {

// A constant number of lanes lets -O2 use vectors without changing the order.
constexpr size_t kLanes = 16;

// What is left of a run, relative to what it was, is rounding below this.
constexpr double kDependent = 1e-6;

float Dot(const float* a, const float* b, size_t count) {
  float lanes[kLanes] = {};
  size_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    for (size_t l = 0; l < kLanes; ++l) lanes[l] += a[i + l] * b[i + l];
  }
  for (size_t l = 0; i < count; ++i, ++l) lanes[l] += a[i] * b[i];
  for (size_t half = kLanes / 2; half > 0; half /= 2) {
    for (size_t l = 0; l < half; ++l) lanes[l] += lanes[l + half];
  }
  return lanes[0];
}

// to += factor * from.
void AddMultiple(float factor, const float* __restrict from, size_t count,
                 float* __restrict to) {
  size_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    for (size_t l = 0; l < kLanes; ++l) to[i + l] += factor * from[i + l];
  }
  for (; i < count; ++i) to[i] += factor * from[i];
}

double DotInDouble(const std::vector<double>& a, const std::vector<double>& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

// Row `row` of left right^T.
void ProductRow(const LowRank& shape, std::span<const float> left,
                std::span<const float> right, size_t row, float* to) {
  std::fill_n(to, shape.columns, 0.0f);
  for (size_t k = 0; k < shape.rank; ++k) {
    AddMultiple(left[k * shape.rows + row], right.data() + k * shape.columns,
                shape.columns, to);
  }
}

}  // namespace

void MultiplyRight(const LowRank& shape, std::span<const float> matrix,
                   std::span<const float> right, std::span<float> left) {
  TERSE_CHECK(matrix.size() == shape.rows * shape.columns &&
              right.size() == shape.right_elements() &&
              left.size() == shape.left_elements());
  for (size_t row = 0; row < shape.rows; ++row) {
    for (size_t k = 0; k < shape.rank; ++k) {
      left[k * shape.rows + row] =
          Dot(matrix.data() + row * shape.columns,
              right.data() + k * shape.columns, shape.columns);
    }
  }
}

void MultiplyLeft(const LowRank& shape, std::span<const float> matrix,
                  std::span<const float> left, std::span<float> right) {
  TERSE_CHECK(matrix.size() == shape.rows * shape.columns &&
              left.size() == shape.left_elements() &&
              right.size() == shape.right_elements());
  std::fill(right.begin(), right.end(), 0.0f);
  for (size_t row = 0; row < shape.rows; ++row) {
    for (size_t k = 0; k < shape.rank; ++k) {
      AddMultiple(left[k * shape.rows + row],
                  matrix.data() + row * shape.columns, shape.columns,
                  right.data() + k * shape.columns);
    }
  }
}

void MultiplyFactors(const LowRank& shape, std::span<const float> left,
                     std::span<const float> right, std::span<float> matrix) {
  TERSE_CHECK(matrix.size() == shape.rows * shape.columns);
  for (size_t row = 0; row < shape.rows; ++row) {
    ProductRow(shape, left, right, row, matrix.data() + row * shape.columns);
  }
}

void SubtractFactors(const LowRank& shape, std::span<const float> left,
                     std::span<const float> right, std::span<float> matrix) {
  TERSE_CHECK(matrix.size() == shape.rows * shape.columns);
  std::vector<float> product(shape.columns);
  for (size_t row = 0; row < shape.rows; ++row) {
    ProductRow(shape, left, right, row, product.data());
    AddMultiple(-1, product.data(), shape.columns,
                matrix.data() + row * shape.columns);
  }
}

void Orthonormalize(const LowRank& shape, std::span<float> left) {
  TERSE_CHECK(left.size() == shape.left_elements());
  std::vector<std::vector<double>> basis;
  for (size_t k = 0; k < shape.rank; ++k) {
    const std::span<float> run = left.subspan(k * shape.rows, shape.rows);
    std::vector<double> v(run.begin(), run.end());
    const double before = std::sqrt(DotInDouble(v, v));
    // Once leaves what rounding adds of the others; twice is enough.
    for (int pass = 0; pass < 2; ++pass) {
      for (const std::vector<double>& other : basis) {
        const double part = DotInDouble(v, other);
        for (size_t i = 0; i < v.size(); ++i) v[i] -= part * other[i];
      }
    }
    const double norm = std::sqrt(DotInDouble(v, v));
    if (!(norm > kDependent * before)) {
      std::fill(run.begin(), run.end(), 0.0f);
      continue;
    }
    for (size_t i = 0; i < v.size(); ++i) {
      v[i] /= norm;
      run[i] = static_cast<float>(v[i]);
    }
    basis.push_back(std::move(v));
  }
}

void WarmStart(const LowRank& shape, uint64_t key, std::span<float> right) {
  TERSE_CHECK(right.size() == shape.right_elements());
  for (size_t k = 0; k < shape.rank; ++k) {
    const std::span<float> run =
        right.subspan(k * shape.columns, shape.columns);
    if (std::any_of(run.begin(), run.end(), [](float x) { return x != 0; })) {
      continue;
    }
    for (size_t i = 0; i < run.size(); ++i) {
      // The sum of twelve uniform draws is Gaussian enough for a direction, and
      // exact: libraries differ in the last bits of logarithms.
      float sum = -6;
      for (uint64_t d = 0; d < 12; ++d) {
        sum += RandomUnit(key, 12 * (k * shape.columns + i) + d);
      }
      run[i] = sum;
    }
  }
}

}  // namespace terse
