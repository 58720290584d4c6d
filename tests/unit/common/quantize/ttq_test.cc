#include <cmath>
#include <vector>

#include "common/quantize/wire.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/common/quantize/testing.h"

namespace terse {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;

std::unique_ptr<WeightQuantizer> Ttq(float threshold) {
  WeightQuantization options;
  options.set_kind(WeightQuantization::TTQ);
  options.set_threshold(threshold);
  return MakeOrDie(options);
}

TEST(TtqTest, LearnedScalesBeyondTheThreshold) {
  ASSERT_EQ(Ttq(0.25f)->LearnedScales(), 2);
  // The threshold is 1; a weight on it is zero.
  EXPECT_THAT(Quantized(*Ttq(0.25f), {4, 1, 1.01f, -1, -1.01f, 0, -3}),
              ElementsAre(1.5f, 0, 1.5f, 0, -0.25f, 0, -0.25f));
}

// The loss sum g_i w_i, whose derivative by the quantized weight i is g_i.
double LossOf(const std::vector<float>& shadow,
              const std::vector<float>& gradient, double positive,
              double negative, float threshold) {
  double loss = 0;
  for (size_t i = 0; i < shadow.size(); ++i) {
    if (shadow[i] > threshold) loss += gradient[i] * positive;
    if (shadow[i] < -threshold) loss -= gradient[i] * negative;
  }
  return loss;
}

TEST(TtqTest, GradientOfTheScalesIsTheNumericDerivative) {
  const auto quantizer = Ttq(0.05f);
  const std::vector<float> shadow = Uniform(501, 0.5f, 1);
  const std::vector<float> gradient = Uniform(501, 3, 2);
  const QuantizeArgs args = WithStats(*quantizer, shadow);
  const TensorStats stats = quantizer->GradientStats(shadow, gradient, args);
  const float threshold = 0.05f * static_cast<float>(args.weight_stats.max_abs);
  const auto loss = [&](double positive, double negative) {
    return LossOf(shadow, gradient, positive, negative, threshold);
  };
  EXPECT_NEAR(stats.sum, (loss(1.6, 0.25) - loss(1.4, 0.25)) / 0.2, 1e-6);
  EXPECT_NEAR(stats.second_sum, (loss(1.5, 0.35) - loss(1.5, 0.15)) / 0.2,
              1e-6);
}

TEST(TtqTest, GradientOfTheShadowIsScaled) {
  EXPECT_THAT(Turned(*Ttq(0.25f), {4, 1, -1, -3}, {2, 2, 2, 2}),
              ElementsAre(3, 2, 2, 0.5f));
}

TEST(TtqTest, PartsOfATensorAddUp) {
  const auto quantizer = Ttq(0.05f);
  const std::vector<float> shadow = Uniform(100, 0.5f, 3);
  const std::vector<float> gradient = Uniform(100, 3, 4);
  const QuantizeArgs args = WithStats(*quantizer, shadow);
  const TensorStats whole = quantizer->GradientStats(shadow, gradient, args);
  TensorStats parts = quantizer->GradientStats(
      std::span(shadow).first(30), std::span(gradient).first(30), args);
  parts.Merge(quantizer->GradientStats(std::span(shadow).subspan(30),
                                       std::span(gradient).subspan(30), args));
  EXPECT_NEAR(parts.sum, whole.sum, 1e-9);
  EXPECT_NEAR(parts.second_sum, whole.second_sum, 1e-9);
  EXPECT_EQ(parts.count, whole.count);
}

TEST(TtqTest, RefusesBadScalesAndNoTrits) {
  const auto quantizer = Ttq(0.05f);
  for (size_t scale : {0, 4}) {
    for (float bad : {-1.0f, std::nanf(""), HUGE_VALF}) {
      auto codes = Encoded(*quantizer, {1, -1});
      WriteScale(bad, codes.data() + scale);
      EXPECT_EQ(quantizer->Validate(codes, 2).code(),
                absl::StatusCode::kInvalidArgument);
    }
  }
  auto codes = Encoded(*quantizer, {1, -1});
  codes.back() = std::byte{9};  // Two trits are below 9.
  EXPECT_EQ(quantizer->Validate(codes, 2).code(), absl::StatusCode::kDataLoss);
}

TEST(TtqTest, ZeroWeights) {
  EXPECT_THAT(Quantized(*Ttq(0.05f), {0, 0, 0}), Each(0));
  EXPECT_THAT(Turned(*Ttq(0.05f), {0, 0}, {3, 4}), ElementsAre(3, 4));
}

}  // namespace
}  // namespace terse
