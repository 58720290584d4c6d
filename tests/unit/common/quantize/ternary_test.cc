#include <algorithm>
#include <cmath>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/common/quantize/testing.h"

namespace terse {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;

std::unique_ptr<WeightQuantizer> Twn(size_t row) {
  return MakeOrDie(WeightQuantization::TWN, 1, row);
}

TEST(TwnTest, ByHand) {
  // Row 1: mean 2, threshold 1.5 (a weight at it is 0), scale (2 + 4.5) / 2.
  // Row 2: mean 1, threshold 0.75.
  EXPECT_THAT(Quantized(*Twn(4), {1.5f, -2, 0, 4.5f, 1, -1, 1, -1}),
              ElementsAre(0, -3.25f, 0, 3.25f, 1, -1, 1, -1));
}

TEST(TwnTest, BytesByHand) {
  // Trits 0 - 0 +: digits 1 0 1 2, lowest first.
  const auto codes = Encoded(*Twn(4), {1.5f, -2, 0, 4.5f});
  ASSERT_EQ(codes.size(), 5);
  EXPECT_EQ(codes[4], std::byte{1 + 0 * 3 + 1 * 9 + 2 * 27});
}

TEST(TwnTest, FollowsThePlainFormula) {
  for (size_t row : {5, 27, 320, 784, 3000}) {
    const std::vector<float> shadow = Uniform(3000, 0.7f, row);
    const std::vector<float> weights = Quantized(*Twn(row), shadow);
    for (size_t begin = 0; begin < shadow.size(); begin += row) {
      const size_t end = std::min(begin + row, shadow.size());
      double mean = 0, sum = 0, beyond = 0;
      for (size_t i = begin; i < end; ++i) mean += std::abs(shadow[i]);
      mean /= end - begin;
      for (size_t i = begin; i < end; ++i) {
        if (std::abs(shadow[i]) <= 0.75 * mean) continue;
        sum += std::abs(shadow[i]);
        ++beyond;
      }
      for (size_t i = begin; i < end; ++i) {
        if (std::abs(std::abs(shadow[i]) - 0.75 * mean) < 1e-6) continue;
        const double plain = std::abs(shadow[i]) <= 0.75 * mean ? 0
                             : shadow[i] > 0                    ? sum / beyond
                                                                : -sum / beyond;
        ASSERT_NEAR(weights[i], plain, 1e-6) << row << " " << i;
      }
    }
  }
}

TEST(TwnTest, ZeroRowIsZero) {
  EXPECT_THAT(Quantized(*Twn(3), {0, 0, 0, 0}), Each(0));
}

TEST(TwnTest, NanWeightMakesAScaleThatIsRefused) {
  const auto codes = Encoded(*Twn(2), {1, std::nanf("")});
  EXPECT_EQ(Twn(2)->Validate(codes, 2).code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(TwnTest, RefusesBytesWithoutTrits) {
  const auto quantizer = Twn(7);
  auto codes = Encoded(*quantizer, {1, -1, 0, 1, 1, -1, 1});
  ASSERT_EQ(codes.size(), 4 + 2);
  codes[4] = std::byte{243};
  EXPECT_EQ(quantizer->Validate(codes, 7).code(), absl::StatusCode::kDataLoss);
  codes[4] = std::byte{242};
  EXPECT_TRUE(quantizer->Validate(codes, 7).ok());
  codes[5] = std::byte{9};  // Two trits are left: 0 to 8.
  EXPECT_EQ(quantizer->Validate(codes, 7).code(), absl::StatusCode::kDataLoss);
}

TEST(TwnTest, GradientPassesAsItIs) {
  EXPECT_THAT(Turned(*Twn(2), {1, 0}, {3, -4}), ElementsAre(3, -4));
}

}  // namespace
}  // namespace terse
