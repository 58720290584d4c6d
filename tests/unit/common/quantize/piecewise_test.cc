#include "common/quantize/piecewise.h"

#include <algorithm>
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

std::unique_ptr<WeightQuantizer> Pwlq(int bits) {
  return MakeOrDie(WeightQuantization::PWLQ, bits);
}

// Sums of 12 uniform numbers.
std::vector<float> Gaussian(size_t count, float sigma, uint64_t key) {
  std::vector<float> values(count);
  for (size_t i = 0; i < count; ++i) {
    float sum = -6;
    for (size_t k = 0; k < 12; ++k) sum += RandomUnit(key, 12 * i + k);
    values[i] = sigma * sum;
  }
  return values;
}

double SquareError(const std::vector<float>& a, const std::vector<float>& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += std::pow(a[i] - b[i], 2);
  return sum;
}

TEST(PiecewiseTest, FollowsThePlainFormula) {
  for (int bits = 2; bits <= 7; ++bits) {
    const std::vector<float> shadow = Gaussian(3000, 0.2f, bits);
    const std::vector<float> weights = Quantized(*Pwlq(bits), shadow);
    double m = 0, squares = 0;
    for (float w : shadow) {
      m = std::max<double>(m, std::abs(w));
      squares += double{w} * w;
    }
    const double s = std::sqrt(squares / 3000);
    const double p = s * std::log(0.86143114 * m / s + 0.607901097);
    EXPECT_LT(p, m);
    const double inner = p / ((1 << (bits - 1)) - 1);
    const double outer = (m - p) / ((1 << (bits - 1)) - 1);
    for (size_t i = 0; i < shadow.size(); ++i) {
      const double magnitude = std::abs(shadow[i]);
      const double x =
          magnitude < p ? magnitude / inner : (magnitude - p) / outer;
      if (std::abs(x - std::floor(x) - 0.5) < 1e-4) continue;
      const double expected =
          magnitude < p ? std::round(x) * inner : p + std::round(x) * outer;
      EXPECT_NEAR(weights[i], std::copysign(expected, shadow[i]), 1e-6)
          << bits << " " << i;
    }
  }
}

TEST(PiecewiseTest, BeatsTheUniformCodeOnBellShapes) {
  const std::vector<float> shadow = Gaussian(20000, 1, 5);
  const auto uniform = MakeOrDie(WeightQuantization::UNIFORM, 4);
  EXPECT_LT(SquareError(Quantized(*Pwlq(4), shadow), shadow),
            SquareError(Quantized(*uniform, shadow), shadow) / 3);
}

TEST(PiecewiseTest, BytesByHand) {
  // m = s = 2, so that p = 2 ln(1.469332237) = 0.769616 and all are outer.
  const auto quantizer = Pwlq(2);
  EXPECT_EQ(quantizer->BitsPerWeight(), 3);
  const auto codes = Encoded(*quantizer, {2, -2});
  ASSERT_EQ(codes.size(), 9);
  EXPECT_NEAR(ReadScale(codes.data()), 0.769616f, 1e-5);
  EXPECT_EQ(ReadScale(codes.data() + 4), 2);
  EXPECT_EQ(codes[8], std::byte{0b000110});
  EXPECT_THAT(Quantized(*quantizer, {2, -2}), ElementsAre(2, -2));
}

TEST(PiecewiseTest, RefusesWhatNoEncoderWrites) {
  const auto quantizer = Pwlq(2);
  auto codes = Encoded(*quantizer, {2, -2});
  codes[8] = std::byte{0b000111};
  EXPECT_EQ(quantizer->Validate(codes, 2).code(), absl::StatusCode::kDataLoss);
  codes = Encoded(*quantizer, {2, -2});
  WriteScale(2.5f, codes.data());  // Beyond the largest magnitude.
  EXPECT_EQ(quantizer->Validate(codes, 2).code(),
            absl::StatusCode::kInvalidArgument);
  codes = Encoded(*quantizer, {1, std::nanf("")});
  EXPECT_EQ(quantizer->Validate(codes, 2).code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(PiecewiseTest, EdgeCases) {
  EXPECT_THAT(Quantized(*Pwlq(3), {}), ElementsAre());
  EXPECT_THAT(Quantized(*Pwlq(3), {0, 0, -0.0f}), Each(0));
  EXPECT_THAT(Turned(*Pwlq(3), {1, -2}, {3, 4}), ElementsAre(3, 4));
  WeightQuantization options;
  options.set_kind(WeightQuantization::PWLQ);
  for (int bits : {1, 8}) {
    options.set_bits(bits);
    EXPECT_FALSE(MakeWeightQuantizer(options).ok());
  }
}

}  // namespace
}  // namespace terse
