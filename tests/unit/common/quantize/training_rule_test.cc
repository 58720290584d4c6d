#include "common/quantize/training_rule.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "common/base/random.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/common/quantize/testing.h"

namespace terse {
namespace {

using ::testing::ElementsAre;

constexpr WeightGrid kGrid = {.step = 0.5f, .max = 4};
constexpr WeightGrid kBinary = {.step = 2, .max = 1, .has_zero = false};

std::vector<float> Rounded(const WeightGrid& grid, std::vector<float> weights) {
  RoundToGrid(grid, weights);
  return weights;
}

std::vector<float> RoundedAtRandom(const WeightGrid& grid, uint64_t key,
                                   std::vector<float> weights) {
  RoundToGridAtRandom(grid, key, 0, weights);
  return weights;
}

TEST(RoundToGridTest, NearestAndHalvesOutwards) {
  EXPECT_THAT(Rounded(kGrid, {0.2f, 0.25f, -0.25f, -0.24f, 1.3f, 9, -9}),
              ElementsAre(0, 0.5f, -0.5f, 0, 1.5f, 4, -4));
  EXPECT_THAT(Rounded(kBinary, {0, 0.1f, -0.1f, -0.0f, 5, -5}),
              ElementsAre(1, 1, -1, 1, 1, -1));
  EXPECT_TRUE(std::isnan(Rounded(kGrid, {std::nanf("")})[0]));
}

TEST(RoundToGridTest, StallsBelowHalfAStep) {
  // 100 steps of 0.49 D leave the weight where it was, one of 0.51 D does not.
  std::vector<float> weight = {1};
  for (int i = 0; i < 100; ++i) {
    weight[0] -= 0.49f * kGrid.step;
    RoundToGrid(kGrid, weight);
  }
  EXPECT_EQ(weight[0], 1);
  weight[0] -= 0.51f * kGrid.step;
  RoundToGrid(kGrid, weight);
  EXPECT_EQ(weight[0], 0.5f);
}

TEST(RoundToGridAtRandomTest, PointsOfAQuantizerStay) {
  for (int bits = 2; bits <= 8; ++bits) {
    WeightQuantization options;
    options.set_kind(WeightQuantization::UNIFORM);
    options.set_bits(bits);
    options.set_max(0.1f);  // Its steps are no short binary fractions.
    const auto quantizer = MakeOrDie(options);
    const WeightGrid grid = *quantizer->Grid();
    const std::vector<float> points =
        Quantized(*quantizer, Uniform(500, 0.11f, bits));
    EXPECT_EQ(RoundedAtRandom(grid, 1, points), points) << bits;
    EXPECT_EQ(Rounded(grid, points), points) << bits;
    // What a rule keeps is what the network computes with.
    const auto kept = RoundedAtRandom(grid, 2, Uniform(500, 0.11f, bits));
    EXPECT_EQ(Quantized(*quantizer, kept), kept) << bits;
    const auto nearest = Rounded(grid, Uniform(500, 0.11f, bits));
    EXPECT_EQ(Quantized(*quantizer, nearest), nearest) << bits;
  }
}

TEST(RoundToGridAtRandomTest, MeanAndVariance) {
  constexpr size_t kDraws = 40000;
  const auto check = [](const WeightGrid& grid, float weight, double fraction) {
    const auto drawn =
        RoundedAtRandom(grid, 3, std::vector<float>(kDraws, weight));
    double mean = 0, squares = 0;
    for (float w : drawn) {
      mean += w / double{kDraws};
      squares += std::pow(w - weight, 2) / kDraws;
    }
    const double variance = grid.step * grid.step * fraction * (1 - fraction);
    EXPECT_NEAR(mean, weight, 5 * std::sqrt(variance / kDraws)) << weight;
    EXPECT_NEAR(squares, variance, 0.05 * variance) << weight;
  };
  check(kGrid, 0.6f, 0.2);
  check(kGrid, -1.3f, 0.4);  // Floor, not truncation.
  check(kBinary, 0.5f, 0.75);
  check(kBinary, -0.8f, 0.1);
}

TEST(RoundToGridAtRandomTest, MovesWithTheShareOfTheStep) {
  // lr |g| / D = 0.05: one weight in twenty moves, all by a whole step.
  constexpr size_t kCount = 40000;
  const auto moved = RoundedAtRandom(
      kGrid, 4, std::vector<float>(kCount, 1 - 0.05f * kGrid.step));
  const auto down = std::count(moved.begin(), moved.end(), 0.5f);
  EXPECT_EQ(std::count(moved.begin(), moved.end(), 1.0f) + down, kCount);
  EXPECT_NEAR(down, 0.05 * kCount, 5 * std::sqrt(0.05 * 0.95 * kCount));
}

TEST(RoundToGridAtRandomTest, CutsDrawTheSame) {
  const std::vector<float> weights = Uniform(1000, 3, 9);
  const auto whole = RoundedAtRandom(kGrid, 5, weights);
  std::vector<float> cut = weights;
  RoundToGridAtRandom(kGrid, 5, 0, std::span(cut).first(301));
  RoundToGridAtRandom(kGrid, 5, 301, std::span(cut).subspan(301));
  EXPECT_EQ(cut, whole);
  EXPECT_NE(RoundedAtRandom(kGrid, 6, weights), whole);
}

// Mean distance from the minimum of w^2 / 2, where noisy gradients leave it.
double Spread(Quantize::Rule rule, float learning_rate) {
  constexpr WeightGrid grid = {.step = 0.25f, .max = 4};
  constexpr int kSteps = 20000;
  std::vector<float> weight = {0.5f};
  double spread = 0;
  for (int t = 0; t < kSteps; ++t) {
    float computed = weight[0];
    RoundToGrid(grid, std::span(&computed, 1));
    const float noise = 4 * (2 * RandomUnit(8, t) - 1);
    weight[0] -= learning_rate * (computed + noise);
    if (rule == Quantize::SR) RoundToGridAtRandom(grid, 9, t, weight);
    if (t >= kSteps / 2) spread += std::abs(weight[0]) / (kSteps / 2);
  }
  return spread;
}

TEST(TrainingRuleTest, OnlyTheShadowWeightConcentrates) {
  // A smaller rate slows SR down but does not narrow where it ends; with shadow
  // weights it does.
  const double sr = Spread(Quantize::SR, 0.02f);
  EXPECT_GT(Spread(Quantize::SR, 0.005f), 0.7 * sr);
  EXPECT_GT(sr, 2 * Spread(Quantize::BC, 0.02f));
  EXPECT_LT(Spread(Quantize::BC, 0.005f), 0.15);
}

TEST(CenterChannelsTest, MeanPerPosition) {
  // One filter of 3 channels with 2 positions, then another.
  std::vector<float> weights = {1, 10, 2, 20, 3, 60, 0, 0, 0, 0, 3, -3};
  CenterChannels(3, 2, weights);
  EXPECT_THAT(weights,
              ElementsAre(-1, -20, 0, -10, 1, 30, -1, 1, -1, 1, 2, -2));
}

TEST(ClipWeightsTest, KeepsNaN) {
  std::vector<float> weights = {2, -2, 0.5f, std::nanf("")};
  ClipWeights(1, weights);
  EXPECT_THAT(std::span(weights).first(3), ElementsAre(1, -1, 0.5f));
  EXPECT_TRUE(std::isnan(weights[3]));
}

}  // namespace
}  // namespace terse
