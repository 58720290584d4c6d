#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/common/quantize/testing.h"

namespace terse {
namespace {

using ::testing::ElementsAre;
using ::testing::FloatNear;
using ::testing::Pointwise;

std::unique_ptr<WeightQuantizer> Dorefa(int bits) {
  return MakeOrDie(WeightQuantization::DOREFA, bits);
}

// Equation 9 in double, with the library's tangent. `margin` tells how far the
// value before rounding is from where the rounding changes.
double PlainWeight(double weight, double max_abs, int bits, double* margin) {
  const double levels = (1 << bits) - 1;
  const double unit = std::tanh(weight) / (2 * std::tanh(max_abs)) + 0.5;
  const double x = unit * levels;
  *margin = std::abs(x - std::floor(x) - 0.5);
  return 2 * std::nearbyint(x) / levels - 1;
}

TEST(DorefaTest, GoldenVectors) {
  const std::vector<float> shadow = {-1, -0.1f, 0, 0.1f, 2};
  const float third = 1.0f / 3, seventh = 1.0f / 7;
  EXPECT_THAT(Quantized(*Dorefa(2), shadow),
              ElementsAre(-1, -third, third, third, 1));
  EXPECT_THAT(Quantized(*Dorefa(3), shadow),
              ElementsAre(-5 * seventh, -seventh, seventh, seventh, 1));
}

TEST(DorefaTest, BytesByHand) {
  // Codes 0, 1, 2, 2, 3 of two bits, first code lowest.
  const auto codes = Encoded(*Dorefa(2), {-1, -0.1f, 0, 0.1f, 2});
  EXPECT_THAT(codes, ElementsAre(std::byte{0b10100100}, std::byte{0b11}));
}

TEST(DorefaTest, FollowsThePlainFormula) {
  for (int bits = 2; bits <= 8; ++bits) {
    for (float max : {0.01f, 1.0f, 15.0f}) {
      const std::vector<float> shadow = Uniform(2501, max, 17 + bits);
      float max_abs = 0;
      for (float r : shadow) max_abs = std::max(max_abs, std::abs(r));
      const std::vector<float> weights = Quantized(*Dorefa(bits), shadow);
      size_t compared = 0;
      for (size_t i = 0; i < shadow.size(); ++i) {
        double margin;
        const double plain = PlainWeight(shadow[i], max_abs, bits, &margin);
        if (margin < 1e-3) continue;  // Rounding of the tangent decides.
        ++compared;
        EXPECT_EQ(weights[i], static_cast<float>(plain)) << bits << " " << i;
      }
      EXPECT_GT(compared, 2400);
    }
  }
}

TEST(DorefaTest, MaximumIsTheTensorsNotTheBlocks) {
  const auto quantizer = Dorefa(2);
  TensorStats stats = quantizer->WeightStats(std::vector<float>{0.1f, -0.2f});
  stats.Merge(quantizer->WeightStats(std::vector<float>{-2}));
  EXPECT_EQ(stats.max_abs, 2);
  std::vector<std::byte> codes(1);
  quantizer->Encode(std::vector<float>{0.1f, -0.2f}, {.weight_stats = stats},
                    codes);
  EXPECT_EQ(codes[0], std::byte{0b0110});
}

TEST(DorefaTest, EdgeCases) {
  for (int bits = 2; bits <= 8; ++bits) {
    const auto quantizer = Dorefa(bits);
    const float smallest = 1.0f / ((1 << bits) - 1);
    EXPECT_THAT(Quantized(*quantizer, {}), ElementsAre());
    // Half rounds to even, which is the level above zero.
    EXPECT_THAT(Quantized(*quantizer, {0, 0}), ElementsAre(smallest, smallest));
    EXPECT_THAT(Quantized(*quantizer, {-0.3f}), ElementsAre(-1));
    EXPECT_THAT(Quantized(*quantizer, {1e-42f, -1e-42f}), ElementsAre(1, -1));
    const float nan = std::nanf("");
    EXPECT_THAT(Quantized(*quantizer, {nan, 1}), ElementsAre(-1, testing::_));
    const float infinity = std::numeric_limits<float>::infinity();
    EXPECT_THAT(Quantized(*quantizer, {infinity, -infinity, 50}),
                ElementsAre(1, -1, 1));
  }
}

TEST(DorefaTest, StatsShowNanInAnyBlock) {
  const auto quantizer = Dorefa(2);
  const TensorStats fine = quantizer->WeightStats(std::vector<float>{1});
  const TensorStats broken =
      quantizer->WeightStats(std::vector<float>{1, std::nanf(""), 2});
  TensorStats first = fine, second = broken;
  first.Merge(broken);
  second.Merge(fine);
  EXPECT_TRUE(std::isnan(first.max_abs));
  EXPECT_TRUE(std::isnan(second.max_abs));
}

// The smooth part of the formula: what is left when rounding is the identity.
double SmoothLoss(const std::vector<double>& shadow,
                  const std::vector<float>& gradient) {
  double max = 0, loss = 0;
  for (double r : shadow) max = std::max(max, std::abs(std::tanh(r)));
  for (size_t i = 0; i < shadow.size(); ++i) {
    loss += gradient[i] * std::tanh(shadow[i]) / max;
  }
  return loss;
}

TEST(DorefaTest, ChainRuleIsTheNumericDerivative) {
  const std::vector<float> shadow = {0.3f, -0.9f, 0.0f, 0.7f, -0.2f, 0.5f};
  const std::vector<float> gradient = {1, 0.5f, -2, 0.25f, 3, -1};
  const std::vector<float> turned = Turned(*Dorefa(4), shadow, gradient);
  const double step = 1e-5;
  for (size_t i = 0; i < shadow.size(); ++i) {
    std::vector<double> up(shadow.begin(), shadow.end()), down = up;
    up[i] += step;
    down[i] -= step;
    const double slope =
        (SmoothLoss(up, gradient) - SmoothLoss(down, gradient)) / (2 * step);
    EXPECT_NEAR(turned[i], slope, 2e-5) << i;
  }
}

// Moving all elements at the maximum outwards together moves the maximum as one
// would: the derivatives of the ties add up to it.
TEST(DorefaTest, TiesShareTheMaximum) {
  const std::vector<float> shadow = {0.8f, -0.1f, -0.8f, 0.4f, 0.8f};
  const std::vector<float> gradient = {1, 2, -0.5f, 1.5f, 0.25f};
  const std::vector<float> turned = Turned(*Dorefa(3), shadow, gradient);
  const double step = 1e-5;
  std::vector<double> up(shadow.begin(), shadow.end()), down = up;
  double sum = 0;
  for (size_t i : {0, 2, 4}) {
    const double outwards = shadow[i] > 0 ? 1 : -1;
    up[i] += outwards * step;
    down[i] -= outwards * step;
    sum += outwards * turned[i];
  }
  const double slope =
      (SmoothLoss(up, gradient) - SmoothLoss(down, gradient)) / (2 * step);
  EXPECT_NEAR(sum, slope, 2e-5);
  // And they share it equally: without their own g the rest is the same.
  const double own = (1 - std::pow(std::tanh(0.8), 2)) / std::tanh(0.8);
  EXPECT_NEAR(turned[0] - own * gradient[0], turned[4] - own * gradient[4],
              1e-6);
  EXPECT_NEAR(turned[0] - own * gradient[0], -(turned[2] - own * gradient[2]),
              1e-6);
}

TEST(DorefaTest, CutsDoNotChangeTheChainRule) {
  const auto quantizer = Dorefa(2);
  std::vector<float> shadow = Uniform(500, 1, 5);
  shadow[17] = 1;
  shadow[400] = -1;  // The tie lies in the other block.
  const std::vector<float> gradient = Uniform(500, 2, 6);
  const std::vector<float> whole = Turned(*quantizer, shadow, gradient);

  const std::span<const float> all(shadow);
  const std::span<const float> blocks[] = {all.first(123), all.subspan(123)};
  std::vector<float> parts = gradient;
  const std::span<float> part_gradients[] = {std::span(parts).first(123),
                                             std::span(parts).subspan(123)};
  QuantizeArgs args;
  for (auto block : blocks) {
    args.weight_stats.Merge(quantizer->WeightStats(block));
  }
  for (int b = 0; b < 2; ++b) {
    args.gradient_stats.Merge(
        quantizer->GradientStats(blocks[b], part_gradients[b], args));
  }
  EXPECT_EQ(args.gradient_stats.count, 2);
  for (int b = 0; b < 2; ++b) {
    quantizer->ChainRule(blocks[b], args, part_gradients[b]);
  }
  EXPECT_THAT(parts, Pointwise(FloatNear(1e-6f), whole));
}

TEST(DorefaTest, ChainRuleOfEdgeCases) {
  const auto quantizer = Dorefa(2);
  // One element is always at the maximum: its weight never changes.
  EXPECT_THAT(Turned(*quantizer, {0.3f}, {5}),
              ElementsAre(FloatNear(0, 1e-5f)));
  EXPECT_THAT(Turned(*quantizer, {0, 0}, {5, -1}), ElementsAre(5, -1));
  EXPECT_THAT(Turned(*quantizer, {}, {}), ElementsAre());
  // Saturated: no slope left, and no NaN.
  EXPECT_THAT(Turned(*quantizer, {1e30f, 0}, {5, 1}),
              ElementsAre(FloatNear(0, 1e-5f), FloatNear(1, 1e-6f)));
}

}  // namespace
}  // namespace terse
