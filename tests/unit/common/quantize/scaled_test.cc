#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "common/quantize/wire.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/common/quantize/testing.h"

namespace terse {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::FloatNear;
using ::testing::Pointwise;

TEST(UniformTest, ByHand) {
  // Three bits: 3 steps to either side of 1. Halves go up: -0.5 to 0.
  const auto quantizer = MakeOrDie(WeightQuantization::UNIFORM, 3);
  EXPECT_THAT(Quantized(*quantizer, {3, -3, 0.5f, -0.5f, 1.4f, -1.6f, 0}),
              ElementsAre(3, -3, 1, 0, 1, -2, 0));
}

TEST(UniformTest, FollowsThePlainFormula) {
  for (int bits = 2; bits <= 8; ++bits) {
    const std::vector<float> shadow = Uniform(2000, 0.9f, bits);
    const auto weights =
        Quantized(*MakeOrDie(WeightQuantization::UNIFORM, bits), shadow);
    double max = 0;
    for (float w : shadow) max = std::max<double>(max, std::abs(w));
    const double step = max / ((1 << (bits - 1)) - 1);
    for (size_t i = 0; i < shadow.size(); ++i) {
      const double x = shadow[i] / step + 0.5;
      if (std::abs(x - std::round(x)) < 1e-4) continue;
      EXPECT_NEAR(weights[i], step * std::floor(x), 1e-6) << bits << " " << i;
    }
  }
}

TEST(UniformTest, RefusesCodesBeyondTheLastLevel) {
  const auto quantizer = MakeOrDie(WeightQuantization::UNIFORM, 3);
  auto codes = Encoded(*quantizer, {1, 1});
  EXPECT_EQ(codes[4], std::byte{0b110110});
  codes[4] = std::byte{0b111110};
  EXPECT_EQ(quantizer->Validate(codes, 2).code(), absl::StatusCode::kDataLoss);
}

TEST(UniformTest, FixedRangeHasAGrid) {
  WeightQuantization options;
  options.set_kind(WeightQuantization::UNIFORM);
  options.set_bits(3);
  options.set_max(0.75f);
  const auto quantizer = MakeOrDie(options);
  EXPECT_EQ(quantizer->Describe(), "uniform:bits=3,max=0.75");
  EXPECT_FALSE(quantizer->NeedsWeightStats());
  EXPECT_EQ(quantizer->ShadowMax(), 0.75f);
  EXPECT_THAT(Quantized(*quantizer, {2, 0.13f, 0.12f, -0.3f, -9}),
              ElementsAre(0.75f, 0.25f, 0, -0.25f, -0.75f));
  const std::optional<WeightGrid> grid = quantizer->Grid();
  ASSERT_TRUE(grid.has_value());
  EXPECT_EQ(grid->step, 0.25f);
  EXPECT_EQ(grid->max, 0.75f);
  EXPECT_TRUE(grid->has_zero);
}

TEST(FlexpointTest, ExponentIsTheLeastThatClipsNothing) {
  // Four bits: 7 steps to either side.
  const auto quantizer = MakeOrDie(WeightQuantization::FLEXPOINT, 4);
  const auto scale = [&](float max) {
    return ReadScale(Encoded(*quantizer, {max}).data());
  };
  EXPECT_EQ(scale(7), 1);
  EXPECT_EQ(scale(7.0001f), 2);
  EXPECT_EQ(scale(3.6f), 1);
  EXPECT_EQ(scale(3.5f), 0.5f);
  EXPECT_EQ(scale(0.01f), 0x1p-9f);
  EXPECT_EQ(scale(0), 0);
  EXPECT_THAT(Quantized(*quantizer, {5, -2.5f, 0.4f, 0.5f, -0.6f}),
              ElementsAre(5, -2, 0, 1, -1));
}

TEST(FlexpointTest, ErrorIsAtMostHalfAStep) {
  for (int bits = 2; bits <= 8; ++bits) {
    const auto quantizer = MakeOrDie(WeightQuantization::FLEXPOINT, bits);
    const std::vector<float> shadow = Uniform(2000, 0.37f, 70 + bits);
    const float step = ReadScale(Encoded(*quantizer, shadow).data());
    int exponent;
    EXPECT_EQ(std::frexp(step, &exponent), 0.5f);
    const std::vector<float> weights = Quantized(*quantizer, shadow);
    for (size_t i = 0; i < shadow.size(); ++i) {
      EXPECT_LE(std::abs(weights[i] - shadow[i]), step / 2) << bits;
    }
  }
}

TEST(LogarithmicTest, KeepsTheLeadingOne) {
  // Eight bits with a step of 1: 21 becomes 16, 6 becomes 4, 17 16, 11 8.
  const auto quantizer = MakeOrDie(WeightQuantization::LOGARITHMIC, 8);
  EXPECT_EQ(quantizer->BitsPerWeight(), 4);
  EXPECT_THAT(Quantized(*quantizer, {127, 21, 6, 17, 11, 1, 0, -1, -64, -63}),
              ElementsAre(64, 16, 4, 16, 8, 1, 0, -1, -64, -32));
}

TEST(LogarithmicTest, BitsOnTheWire) {
  const double bits[] = {2, 3, 3, 4, 4, 4, 4};
  for (int k = 2; k <= 8; ++k) {
    EXPECT_EQ(MakeOrDie(WeightQuantization::LOGARITHMIC, k)->BitsPerWeight(),
              bits[k - 2]);
  }
}

TEST(BalancedTest, GoldenVector) {
  const auto quantizer = MakeOrDie(WeightQuantization::BALANCED, 2);
  const std::vector<float> expected = {-2.0f / 3, -2.0f / 3, -2.0f / 9,
                                       2.0f / 9,  2.0f / 3,  2.0f / 3};
  EXPECT_THAT(Quantized(*quantizer, {-1, -0.5f, -0.1f, 0.1f, 0.5f, 1}),
              Pointwise(FloatNear(1e-6f), expected));
}

TEST(BalancedTest, FollowsThePlainFormula) {
  for (int bits = 1; bits <= 8; ++bits) {
    const std::vector<float> shadow = Uniform(2000, 3, 40 + bits);
    const auto weights =
        Quantized(*MakeOrDie(WeightQuantization::BALANCED, bits), shadow);
    double mean = 0;
    for (float w : shadow) mean += std::abs(w) / 2000.0;
    const double scale = 2.5 * mean, levels = (1 << bits) - 1;
    for (size_t i = 0; i < shadow.size(); ++i) {
      const double x =
          (std::clamp(shadow[i] / scale, -0.5, 0.5) + 0.5) * levels;
      if (std::abs(x - std::floor(x) - 0.5) < 1e-3) continue;
      EXPECT_NEAR(weights[i], (std::round(x) / levels - 0.5) * scale, 1e-5)
          << bits << " " << i;
    }
  }
}

std::unique_ptr<WeightQuantizer> MakeBalancedBy(
    WeightQuantization::Balance balance, int bits) {
  WeightQuantization options;
  options.set_kind(WeightQuantization::BALANCED);
  options.set_bits(static_cast<uint32_t>(bits));
  options.set_balance(balance);
  return MakeOrDie(options);
}

// The levels are those of the mean form; each has as many weights, however they
// are distributed.
TEST(BalancedTest, MediansFillTheLevelsEqually) {
  for (int bits = 1; bits <= 6; ++bits) {
    std::vector<float> shadow = Uniform(4000, 1, 50 + bits);
    for (float& w : shadow) w = w * w * w + 0.3f;
    const auto weights =
        Quantized(*MakeBalancedBy(WeightQuantization::MEDIAN, bits), shadow);
    std::vector<size_t> order(shadow.size());
    std::iota(order.begin(), order.end(), size_t{0});
    std::sort(order.begin(), order.end(),
              [&](size_t a, size_t b) { return shadow[a] < shadow[b]; });
    double mean = 0;
    for (float w : shadow) mean += std::abs(w) / 4000.0;
    const int levels = 1 << bits;
    std::vector<int> filled(static_cast<size_t>(levels));
    for (size_t rank = 0; rank < order.size(); ++rank) {
      // Parts of odd sizes are halved with the middle above.
      const double place = weights[order[rank]] / (2.5 * mean) + 0.5;
      const int code = static_cast<int>(std::lround(place * (levels - 1)));
      EXPECT_NEAR(place * (levels - 1), code, 1e-4);
      EXPECT_NEAR(code, static_cast<double>(rank) * levels / 4000, 1.001);
      ++filled[static_cast<size_t>(code)];
    }
    EXPECT_LE(*std::max_element(filled.begin(), filled.end()),
              *std::min_element(filled.begin(), filled.end()) + 2)
        << bits;
  }
}

TEST(BalancedTest, MediansOfEqualAndOfFewWeights) {
  const auto quantizer = MakeBalancedBy(WeightQuantization::MEDIAN, 2);
  EXPECT_EQ(quantizer->Describe(), "balanced:bits=2,balance=median");
  EXPECT_THAT(Quantized(*quantizer, {}), ElementsAre());
  EXPECT_THAT(Quantized(*quantizer, {0, -0.0f, 0}), Each(0));
  EXPECT_THAT(Quantized(*quantizer, {2}), ElementsAre(2.5f));
  // Equal weights share a level.
  const auto weights = Quantized(*quantizer, {1, 1, 1, -1, 1, 1});
  EXPECT_THAT(weights, ElementsAre(weights[0], weights[0], weights[0],
                                   weights[3], weights[0], weights[0]));
  EXPECT_LT(weights[3], weights[0]);
}

TEST(BalancedTest, UnbalancedLevelsReachTheLargestWeight) {
  const auto quantizer = MakeBalancedBy(WeightQuantization::UNBALANCED, 2);
  EXPECT_EQ(quantizer->Describe(), "balanced:bits=2,balance=unbalanced");
  EXPECT_THAT(
      Quantized(*quantizer, {-3, -1.9f, -0.1f, 0.1f, 2.1f, 1.5f}),
      Pointwise(FloatNear(1e-6f), std::vector<float>{-3, -1, -1, 1, 3, 1}));
}

TEST(ScaledTest, EdgeCasesOfAll) {
  for (auto kind :
       {WeightQuantization::UNIFORM, WeightQuantization::LOGARITHMIC,
        WeightQuantization::FLEXPOINT, WeightQuantization::BALANCED}) {
    const auto quantizer = MakeOrDie(kind, 2);
    EXPECT_THAT(Quantized(*quantizer, {}), ElementsAre());
    EXPECT_THAT(Quantized(*quantizer, {0, 0, -0.0f}), Each(0));
    EXPECT_THAT(Turned(*quantizer, {1, -2}, {3, 4}), ElementsAre(3, 4));
    const auto codes = Encoded(*quantizer, {1, std::nanf("")});
    EXPECT_EQ(quantizer->Validate(codes, 2).code(),
              absl::StatusCode::kInvalidArgument);
    const auto infinite =
        Encoded(*quantizer, {1, std::numeric_limits<float>::infinity()});
    EXPECT_FALSE(quantizer->Validate(infinite, 2).ok());
  }
}

}  // namespace
}  // namespace terse
