#include "common/codec/low_rank.h"

#include <cmath>
#include <vector>

#include "common/base/random.h"
#include "gtest/gtest.h"

namespace terse {
namespace {

std::vector<float> Random(size_t count, uint64_t key) {
  std::vector<float> values(count);
  for (size_t i = 0; i < count; ++i) values[i] = RandomUnit(key, i) - 0.5f;
  return values;
}

// The formulas in double, element by element.
double At(const LowRank& s, const std::vector<float>& matrix, size_t i,
          size_t j) {
  return matrix[i * s.columns + j];
}

TEST(LowRankTest, ProductsAreThoseOfTheFormula) {
  for (const LowRank& s : {LowRank{7, 5, 2}, LowRank{33, 100, 3},
                           LowRank{1, 1, 1}, LowRank{16, 16, 4}}) {
    auto matrix = Random(s.rows * s.columns, 1);
    const auto right = Random(s.right_elements(), 2);
    std::vector<float> left(s.left_elements());
    MultiplyRight(s, {}, 0, matrix, right, left);
    for (size_t k = 0; k < s.rank; ++k) {
      for (size_t i = 0; i < s.rows; ++i) {
        double sum = 0;
        for (size_t j = 0; j < s.columns; ++j) {
          sum += At(s, matrix, i, j) * right[k * s.columns + j];
        }
        EXPECT_NEAR(left[k * s.rows + i], sum, 1e-5);
      }
    }
    std::vector<float> back(s.right_elements());
    MultiplyLeft(s, matrix, left, back);
    for (size_t k = 0; k < s.rank; ++k) {
      for (size_t j = 0; j < s.columns; ++j) {
        double sum = 0;
        for (size_t i = 0; i < s.rows; ++i) {
          sum += At(s, matrix, i, j) * left[k * s.rows + i];
        }
        EXPECT_NEAR(back[k * s.columns + j], sum, 1e-4);
      }
    }
    std::vector<float> product(matrix.size());
    MultiplyFactors(s, left, right, product);
    auto difference = matrix;
    SubtractFactors(s, left, right, difference);
    for (size_t i = 0; i < s.rows; ++i) {
      for (size_t j = 0; j < s.columns; ++j) {
        double sum = 0;
        for (size_t k = 0; k < s.rank; ++k) {
          sum += double{left[k * s.rows + i]} * right[k * s.columns + j];
        }
        EXPECT_NEAR(At(s, product, i, j), sum, 1e-5);
        EXPECT_EQ(difference[i * s.columns + j],
                  matrix[i * s.columns + j] - product[i * s.columns + j]);
      }
    }
  }
}

double RunDot(const LowRank& s, const std::vector<float>& left, size_t a,
              size_t b) {
  double sum = 0;
  for (size_t i = 0; i < s.rows; ++i) {
    sum += double{left[a * s.rows + i]} * left[b * s.rows + i];
  }
  return sum;
}

TEST(LowRankTest, RunsBecomeOrthonormal) {
  const LowRank s = {200, 10, 6};
  auto left = Random(s.left_elements(), 3);
  // Nearly dependent ones too.
  for (size_t i = 0; i < s.rows; ++i) {
    left[s.rows + i] = left[i] * 3 + 1e-3f * left[s.rows + i];
  }
  Orthonormalize(s, left);
  for (size_t a = 0; a < s.rank; ++a) {
    for (size_t b = 0; b < s.rank; ++b) {
      EXPECT_NEAR(RunDot(s, left, a, b), a == b ? 1 : 0, 1e-5);
    }
  }
}

TEST(LowRankTest, RunsThatDependOnOthersAndZerosBecomeZeros) {
  const LowRank s = {50, 10, 4};
  auto left = Random(s.left_elements(), 4);
  for (size_t i = 0; i < s.rows; ++i) {
    left[s.rows + i] = -2 * left[i];
    left[3 * s.rows + i] = 0;
  }
  Orthonormalize(s, left);
  EXPECT_NEAR(RunDot(s, left, 0, 0), 1, 1e-5);
  EXPECT_EQ(RunDot(s, left, 1, 1), 0);
  EXPECT_NEAR(RunDot(s, left, 2, 2), 1, 1e-5);
  EXPECT_EQ(RunDot(s, left, 3, 3), 0);
}

TEST(LowRankTest, AMatrixOfTheRankIsExactAfterTwoSteps) {
  const LowRank s = {40, 30, 3};
  const auto a = Random(s.left_elements(), 5);
  const auto b = Random(s.right_elements(), 6);
  std::vector<float> matrix(s.rows * s.columns);
  MultiplyFactors(s, a, b, matrix);
  std::vector<float> left(s.left_elements()), right(s.right_elements());
  WarmStart(s, 7, right);
  for (int step = 0; step < 2; ++step) {
    MultiplyRight(s, {}, 0, matrix, right, left);
    Orthonormalize(s, left);
    MultiplyLeft(s, matrix, left, right);
  }
  std::vector<float> product(matrix.size());
  MultiplyFactors(s, left, right, product);
  for (size_t i = 0; i < matrix.size(); ++i) {
    EXPECT_NEAR(product[i], matrix[i], 1e-5);
  }
}

TEST(LowRankTest, WarmStartDrawsAnewWhatIsZero) {
  const LowRank s = {5, 4000, 2};
  std::vector<float> right(s.right_elements());
  WarmStart(s, 8, right);
  double sum = 0, squares = 0;
  for (const float x : right) {
    sum += x;
    squares += double{x} * x;
  }
  const auto count = static_cast<double>(right.size());
  EXPECT_NEAR(sum / count, 0, 5 / std::sqrt(count));
  EXPECT_NEAR(squares / count, 1, 0.1);
  // A direction that is there stays; one that has died is the same as before.
  const auto first = right;
  std::fill(right.begin() + 4000, right.end(), 0.0f);
  right[7] = 42;
  WarmStart(s, 8, right);
  EXPECT_EQ(right[7], 42);
  EXPECT_TRUE(
      std::equal(right.begin() + 4000, right.end(), first.begin() + 4000));
}

}  // namespace
}  // namespace terse
