#include "common/kernels/low_rank_kernels.h"

#include "tests/unit/common/kernels/kernel_test_util.h"

namespace terse {
namespace {

// The columns of a matrix are what vectors run over.
void OnAllSizes(
    const std::function<void(const LowRankSize& size, size_t offset)>& test) {
  OnAllTargets([&test](size_t columns, size_t offset) {
    // Rows around those that are taken at once.
    for (const size_t rows : {1, 4, 7}) {
      test({.rows = rows, .columns = columns, .rank = 1}, offset);
    }
    test({.rows = 5, .columns = columns, .rank = 3}, offset);
  });
}

std::vector<float> Gaussians(size_t count, uint64_t key) {
  std::vector<float> values(count);
  for (size_t i = 0; i < count; ++i) values[i] = TestGaussian(key, i);
  return values;
}

TEST(LowRankKernelsTest, MultiplyRightSameOnAllTargets) {
  OnAllSizes([](const LowRankSize& size, size_t offset) {
    const auto right = Gaussians(size.rank * size.columns, 41);
    const auto gradient = Gaussians(size.rows * size.columns, 42);
    Misaligned<float> misaligned(gradient, offset);
    for (const bool adds : {false, true}) {
      auto expected_matrix = Gaussians(size.rows * size.columns, 43);
      Misaligned<float> matrix(expected_matrix, offset);
      std::vector<float> expected(size.rank * size.rows, -1);
      std::vector<float> left = expected;
      reference::LowRankMultiplyRight(size, adds ? gradient.data() : nullptr,
                                      0.75f, expected_matrix.data(),
                                      right.data(), expected.data());
      LowRankMultiplyRight(size, adds ? misaligned.data() : nullptr, 0.75f,
                           matrix.data(), right.data(), left.data());
      ASSERT_EQ(BitsOf(left), BitsOf(expected));
      ASSERT_EQ(BitsOf(matrix.Copy()), BitsOf(expected_matrix));
    }
  });
}

TEST(LowRankKernelsTest, MultiplyLeftSameOnAllTargets) {
  OnAllSizes([](const LowRankSize& size, size_t offset) {
    const auto left = Gaussians(size.rank * size.rows, 44);
    const auto matrix = Gaussians(size.rows * size.columns, 45);
    Misaligned<float> misaligned(matrix, offset);
    std::vector<float> expected(size.rank * size.columns, -1);
    std::vector<float> right = expected;
    reference::LowRankMultiplyLeft(size, matrix.data(), left.data(),
                                   expected.data());
    LowRankMultiplyLeft(size, misaligned.data(), left.data(), right.data());
    ASSERT_EQ(BitsOf(right), BitsOf(expected));
  });
}

TEST(LowRankKernelsTest, ProductsOfFactorsSameOnAllTargets) {
  OnAllSizes([](const LowRankSize& size, size_t offset) {
    const auto left = Gaussians(size.rank * size.rows, 46);
    const auto right = Gaussians(size.rank * size.columns, 47);
    auto expected = Gaussians(size.rows * size.columns, 48);
    Misaligned<float> matrix(expected, offset);
    reference::LowRankSubtractFactors(size, left.data(), right.data(),
                                      expected.data());
    LowRankSubtractFactors(size, left.data(), right.data(), matrix.data());
    ASSERT_EQ(BitsOf(matrix.Copy()), BitsOf(expected));
    reference::LowRankMultiplyFactors(size, left.data(), right.data(),
                                      expected.data());
    LowRankMultiplyFactors(size, left.data(), right.data(), matrix.data());
    ASSERT_EQ(BitsOf(matrix.Copy()), BitsOf(expected));
  });
}

}  // namespace
}  // namespace terse
