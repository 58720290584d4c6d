#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "common/base/random.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/common/quantize/testing.h"

namespace terse {
namespace {

using ::testing::ElementsAre;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

TEST(BinaryConnectTest, SignsAndBytesByHand) {
  const auto quantizer = MakeOrDie(WeightQuantization::BINARYCONNECT);
  const std::vector<float> shadow = {0.5f, -0.5f, 0.0f, -0.0f,   1,
                                     -1,   kNan,  2,    -1e-30f, 1e-30f};
  EXPECT_THAT(Encoded(*quantizer, shadow),
              ElementsAre(std::byte{0b10011101}, std::byte{0b10}));
  EXPECT_THAT(Quantized(*quantizer, shadow),
              ElementsAre(1, -1, 1, 1, 1, -1, -1, 1, -1, 1));
  EXPECT_EQ(quantizer->Describe(), "binaryconnect");
  EXPECT_EQ(quantizer->BitsPerWeight(), 1);
  EXPECT_FALSE(quantizer->EvaluatesWithShadow());
  EXPECT_FALSE(quantizer->NeedsWeightStats());
}

TEST(BinaryConnectTest, GradientPassesAsItIs) {
  for (auto kind : {WeightQuantization::BINARYCONNECT,
                    WeightQuantization::BINARYCONNECT_STOCHASTIC}) {
    const std::vector<float> gradient = {1, -2, 3e-9f};
    EXPECT_EQ(Turned(*MakeOrDie(kind), {0.5f, 7, -0.1f}, gradient), gradient);
  }
}

TEST(BinaryConnectTest, StochasticDrawsByTheElementsIndex) {
  const auto quantizer =
      MakeOrDie(WeightQuantization::BINARYCONNECT_STOCHASTIC);
  EXPECT_TRUE(quantizer->EvaluatesWithShadow());
  const std::vector<float> shadow = Uniform(1000, 1.2f, 3);
  const QuantizeArgs args = {.key = 5, .first_index = 70};
  const std::vector<float> weights = Quantized(*quantizer, shadow, args);
  for (size_t i = 0; i < shadow.size(); ++i) {
    const double p = std::clamp((double{shadow[i]} + 1) / 2, 0.0, 1.0);
    const double u = (RandomBits(5, 70 + i) >> 8) / double{1 << 24};
    if (std::abs(u - p) < 1e-6) continue;  // Rounding of p decides.
    EXPECT_EQ(weights[i], u < p ? 1 : -1) << i;
  }
  // The tail of the block alone draws the same.
  const std::vector<float> tail(shadow.begin() + 333, shadow.end());
  EXPECT_EQ(Quantized(*quantizer, tail, {.key = 5, .first_index = 403}),
            std::vector<float>(weights.begin() + 333, weights.end()));
}

TEST(BinaryConnectTest, StochasticMeanIsTheClippedWeight) {
  const auto quantizer =
      MakeOrDie(WeightQuantization::BINARYCONNECT_STOCHASTIC);
  constexpr size_t kDraws = 100000;
  for (float weight : {-1.5f, -1.0f, -0.6f, 0.0f, 0.3f, 1.0f, 4.0f}) {
    const std::vector<float> shadow(kDraws, weight);
    const std::vector<float> draws = Quantized(*quantizer, shadow, {.key = 11});
    const double mean =
        std::accumulate(draws.begin(), draws.end(), 0.0) / kDraws;
    // Five standard deviations of a mean of signs.
    EXPECT_NEAR(mean, std::clamp(weight, -1.0f, 1.0f), 5 / std::sqrt(kDraws))
        << weight;
    if (std::abs(weight) >= 1) {
      EXPECT_EQ(mean, weight > 0 ? 1 : -1);
    }
  }
}

TEST(DorefaBinaryTest, OneScaleForTheLayer) {
  const auto quantizer = MakeOrDie(WeightQuantization::DOREFA, 1);
  EXPECT_EQ(quantizer->Describe(), "dorefa:bits=1");
  EXPECT_TRUE(quantizer->NeedsWeightStats());
  EXPECT_FALSE(quantizer->NeedsGradientStats());
  EXPECT_THAT(Quantized(*quantizer, {1, -2, 0, 5}), ElementsAre(2, -2, 2, 2));

  // A block of a larger tensor takes the tensor's mean.
  TensorStats stats = quantizer->WeightStats(std::vector<float>{1, -2, 0, 5});
  stats.Merge(quantizer->WeightStats(std::vector<float>{3, -3, 1, 1}));
  std::vector<std::byte> codes(quantizer->EncodedBytes(2));
  quantizer->Encode(std::vector<float>{1, -1}, {.weight_stats = stats}, codes);
  std::vector<float> weights(2);
  quantizer->Decode(codes, weights);
  EXPECT_THAT(weights, ElementsAre(2, -2));
}

TEST(DorefaBinaryTest, ZeroTensorStaysZero) {
  const auto quantizer = MakeOrDie(WeightQuantization::DOREFA, 1);
  EXPECT_THAT(Quantized(*quantizer, {0, 0, 0}), ElementsAre(0, 0, 0));
}

TEST(DorefaBinaryTest, NanWeightMakesAScaleThatIsRefused) {
  const auto quantizer = MakeOrDie(WeightQuantization::DOREFA, 1);
  const auto codes = Encoded(*quantizer, {1, kNan});
  EXPECT_EQ(quantizer->Validate(codes, 2).code(),
            absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace terse
