#include <cmath>
#include <vector>

#include "common/base/limits.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/common/quantize/testing.h"

namespace terse {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;

std::unique_ptr<WeightQuantizer> Bwn(size_t row) {
  return MakeOrDie(WeightQuantization::BWN, 1, row);
}

TEST(BwnTest, ScalePerRow) {
  // The last row of a block may be shorter.
  EXPECT_THAT(Quantized(*Bwn(3), {1, -2, 3, 0, 0, -6, -5}),
              ElementsAre(2, -2, 2, 2, 2, -2, -5));
}

TEST(BwnTest, BytesByHand) {
  const auto codes = Encoded(*Bwn(2), {1, -1, -1, 1});
  ASSERT_EQ(codes.size(), 2 * 4 + 2);
  EXPECT_EQ(codes[3], std::byte{0x3f});  // 1.0f is 0x3f800000.
  EXPECT_EQ(codes[2], std::byte{0x80});
  EXPECT_EQ(codes[8], std::byte{0b01});
  EXPECT_EQ(codes[9], std::byte{0b10});
}

TEST(BwnTest, ScaleIsTheLeastSquaresOptimum) {
  const std::vector<float> shadow = Uniform(576, 0.4f, 4);
  const std::vector<float> weights = Quantized(*Bwn(576), shadow);
  const auto error = [&](double factor) {
    double sum = 0;
    for (size_t i = 0; i < shadow.size(); ++i) {
      sum += std::pow(shadow[i] - factor * weights[i], 2);
    }
    return sum;
  };
  EXPECT_LT(error(1), error(0.99));
  EXPECT_LT(error(1), error(1.01));
}

TEST(BwnTest, ChainRuleIsTheNumericDerivative) {
  // Rows of 4; one weight beyond 1, whose direct part is masked.
  const std::vector<float> shadow = {0.5f, -0.25f, 0.75f, -1.5f,
                                     0.1f, 0.2f,   -0.3f, 0.4f};
  const std::vector<float> gradient = {1, -2, 0.5f, 3, -1, 0.25f, 2, 1};
  const std::vector<float> turned = Turned(*Bwn(4), shadow, gradient);
  // With the sign in place of w / |w| the derivative of a(w) sign(w) splits
  // into a times the estimator's 1 and the numeric derivative of a.
  const double step = 1e-4;
  for (size_t i = 0; i < shadow.size(); ++i) {
    const size_t row = i / 4 * 4;
    const auto loss = [&](double moved) {
      double scale = 0, sum = 0;
      for (size_t k = row; k < row + 4; ++k) {
        scale += std::abs(k == i ? moved : shadow[k]) / 4;
        sum += gradient[k] * (shadow[k] >= 0 ? 1 : -1);
      }
      return scale * sum;
    };
    double mean = 0;
    for (size_t k = row; k < row + 4; ++k) mean += std::abs(shadow[k]) / 4;
    const double direct = std::abs(shadow[i]) <= 1 ? mean * gradient[i] : 0;
    const double slope =
        (loss(shadow[i] + step) - loss(shadow[i] - step)) / (2 * step);
    EXPECT_NEAR(turned[i], direct + slope, 1e-5) << i;
  }
}

TEST(BwnTest, PaperGradientKeepsTheDiagonal) {
  WeightQuantization options;
  options.set_kind(WeightQuantization::BWN);
  options.set_paper_gradient(true);
  const auto quantizer = MakeOrDie(options, 4);
  EXPECT_EQ(quantizer->Describe(), "bwn:paper_gradient");
  const std::vector<float> shadow = {0.5f, -0.25f, 0.75f, -1.5f};
  EXPECT_EQ(Encoded(*quantizer, shadow), Encoded(*Bwn(4), shadow));
  // a = 0.75, n = 4; the last weight is beyond 1.
  EXPECT_THAT(Turned(*quantizer, shadow, {1, -2, 0.5f, 8}),
              ElementsAre(1, -2, 0.5f, 2));
}

TEST(BwnTest, RefusesRowsBeyondABlock) {
  for (auto kind : {WeightQuantization::BWN, WeightQuantization::TWN}) {
    WeightQuantization options;
    options.set_kind(kind);
    EXPECT_TRUE(MakeWeightQuantizer(options, kBlockElementsMax).ok());
    EXPECT_EQ(
        MakeWeightQuantizer(options, kBlockElementsMax + 1).status().code(),
        absl::StatusCode::kInvalidArgument);
  }
}

TEST(BwnTest, ZeroRowKeepsALeak) {
  EXPECT_THAT(Quantized(*Bwn(2), {0, 0}), Each(0));
  // Scale 0 leaves the second term: mean of the gradient.
  EXPECT_THAT(Turned(*Bwn(2), {0, 0}, {1, 3}), ElementsAre(2, 2));
}

TEST(BwnTest, RowOfOneIsExact) {
  const std::vector<float> shadow = {0.5f, -3, 0.25f};
  EXPECT_EQ(Quantized(*Bwn(1), shadow), shadow);
}

TEST(BwnTest, RefusesBadScalesAndNeedsRows) {
  const auto quantizer = Bwn(2);
  for (uint8_t top : {0x7f, 0xff, 0xbf}) {  // infinity, -infinity, -1
    auto codes = Encoded(*quantizer, {1, -1, -1, 1});
    codes[7] = std::byte{top};
    EXPECT_EQ(quantizer->Validate(codes, 4).code(),
              absl::StatusCode::kInvalidArgument);
  }
  WeightQuantization options;
  options.set_kind(WeightQuantization::BWN);
  EXPECT_EQ(MakeWeightQuantizer(options).status().code(),
            absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace terse
