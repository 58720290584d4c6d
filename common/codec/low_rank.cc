#include "common/codec/low_rank.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "common/base/random.h"
#include "common/base/status.h"
#include "common/kernels/low_rank_kernels.h"

namespace terse {
namespace {

// What is left of a run, relative to what it was, is rounding below this.
constexpr double kDependent = 1e-6;

double DotInDouble(const std::vector<double>& a, const std::vector<double>& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

LowRankSize SizeOf(const LowRank& shape) {
  return {shape.rows, shape.columns, shape.rank};
}

void CheckSizes(const LowRank& shape, std::span<const float> matrix,
                std::span<const float> left, std::span<const float> right) {
  TERSE_CHECK(matrix.size() == shape.rows * shape.columns &&
              left.size() == shape.left_elements() &&
              right.size() == shape.right_elements());
}

}  // namespace

void MultiplyRight(const LowRank& shape, std::span<const float> gradient,
                   float decay, std::span<float> matrix,
                   std::span<const float> right, std::span<float> left) {
  CheckSizes(shape, matrix, left, right);
  TERSE_CHECK(gradient.empty() || gradient.size() == matrix.size());
  LowRankMultiplyRight(SizeOf(shape),
                       gradient.empty() ? nullptr : gradient.data(), decay,
                       matrix.data(), right.data(), left.data());
}

void MultiplyLeft(const LowRank& shape, std::span<const float> matrix,
                  std::span<const float> left, std::span<float> right) {
  CheckSizes(shape, matrix, left, right);
  LowRankMultiplyLeft(SizeOf(shape), matrix.data(), left.data(), right.data());
}

void MultiplyFactors(const LowRank& shape, std::span<const float> left,
                     std::span<const float> right, std::span<float> matrix) {
  CheckSizes(shape, matrix, left, right);
  LowRankMultiplyFactors(SizeOf(shape), left.data(), right.data(),
                         matrix.data());
}

void SubtractFactors(const LowRank& shape, std::span<const float> left,
                     std::span<const float> right, std::span<float> matrix) {
  CheckSizes(shape, matrix, left, right);
  LowRankSubtractFactors(SizeOf(shape), left.data(), right.data(),
                         matrix.data());
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
