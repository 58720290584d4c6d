#include "common/kernels/moments.h"

#include <algorithm>
#include <limits>

#include "tests/unit/common/kernels/kernel_test_util.h"

namespace terse {
namespace {

using MomentsFunction = BlockMoments (*)(const float*, size_t, float*);

void ExpectEqual(const BlockMoments& a, const BlockMoments& b) {
  ASSERT_EQ(a.max_abs_bits, b.max_abs_bits);
  ASSERT_EQ(std::bit_cast<uint64_t>(a.sum), std::bit_cast<uint64_t>(b.sum));
  ASSERT_EQ(std::bit_cast<uint64_t>(a.sum_squares),
            std::bit_cast<uint64_t>(b.sum_squares));
}

void ExpectSameAsReference(MomentsFunction function, MomentsFunction definition,
                           float factor) {
  OnAllTargets([=](size_t size, size_t offset) {
    auto values = TestValues(size, 21);
    for (float& value : values) value *= factor;
    const auto residual = TestValues(size, 22);
    Misaligned<float> input(values, offset);
    ExpectEqual(function(input.data(), size, nullptr),
                definition(values.data(), size, nullptr));
    auto expected = residual;
    const BlockMoments with_residual =
        definition(values.data(), size, expected.data());
    Misaligned<float> sum(residual, offset);
    ExpectEqual(function(input.data(), size, sum.data()), with_residual);
    ASSERT_EQ(BitsOf(sum.Copy()), BitsOf(expected));
  });
}

TEST(MomentsTest, SameOnAllTargets) {
  for (float factor : {1.0f, 1e-30f, 1e36f}) {
    ExpectSameAsReference(AddMoments, reference::AddMoments, factor);
    ExpectSameAsReference(AddAbsoluteSum, reference::AddAbsoluteSum, factor);
  }
}

TEST(MomentsTest, MaxSameOnAllTargets) {
  OnAllTargets([](size_t size, size_t offset) {
    const auto values = TestValues(size, 23);
    auto expected = TestValues(size, 24);
    Misaligned<float> input(values, offset);
    Misaligned<float> residual(expected, offset);
    ASSERT_EQ(AddMaxAbs(input.data(), size, nullptr),
              reference::AddMaxAbs(values.data(), size, nullptr));
    ASSERT_EQ(AddMaxAbs(input.data(), size, residual.data()),
              reference::AddMaxAbs(values.data(), size, expected.data()));
    ASSERT_EQ(BitsOf(residual.Copy()), BitsOf(expected));
  });
}

TEST(MomentsTest, CloseToExactSums) {
  for (float factor : {1.0f, 1e-35f, 1e30f}) {
    std::vector<float> values(100003);
    double sum = 0, absolute = 0, squares = 0;
    for (size_t i = 0; i < values.size(); ++i) {
      values[i] = (TestGaussian(3, i) + 0.5f) * factor;
      sum += values[i];
      absolute += std::fabs(values[i]);
      squares += double{values[i]} * values[i];
    }
    const auto moments = AddMoments(values.data(), values.size(), nullptr);
    EXPECT_NEAR(moments.sum / sum, 1, 1e-5);
    EXPECT_NEAR(moments.sum_squares / squares, 1, 1e-5);
    EXPECT_NEAR(
        AddAbsoluteSum(values.data(), values.size(), nullptr).sum / absolute, 1,
        1e-5);
  }
}

TEST(MomentsTest, NanAndInfinityWinWhereverTheyAre) {
  const float kBad[] = {std::numeric_limits<float>::quiet_NaN(),
                        -std::numeric_limits<float>::quiet_NaN(),
                        std::numeric_limits<float>::infinity(),
                        -std::numeric_limits<float>::infinity()};
  for (size_t position : {0, 1, 31, 32, 2047, 2048, 2099}) {
    for (float bad : kBad) {
      auto values = TestValues(2100, 25);
      values[position] = bad;
      EXPECT_FALSE(AddMoments(values.data(), 2100, nullptr).finite());
      EXPECT_FALSE(AddAbsoluteSum(values.data(), 2100, nullptr).finite());
      EXPECT_GE(AddMaxAbs(values.data(), 2100, nullptr), kInfinityBits);
    }
  }
}

}  // namespace
}  // namespace terse
