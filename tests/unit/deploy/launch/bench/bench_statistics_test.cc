#include "deploy/launch/bench_statistics.h"

#include <array>
#include <bit>
#include <cmath>
#include <vector>

#include "common/base/limits.h"
#include "common/base/random.h"
#include "gtest/gtest.h"

namespace terse {
namespace {

TEST(Median, IsTheMiddle) {
  EXPECT_EQ(Median({}), 0);
  EXPECT_EQ(Median({3}), 3);
  EXPECT_EQ(Median({9, 1, 4}), 4);
  EXPECT_EQ(Median({8, 1, 100, 4}), 6);
}

TEST(CoefficientOfVariation, IsDeviationOverMean) {
  EXPECT_EQ(CoefficientOfVariation({}), 0);
  EXPECT_EQ(CoefficientOfVariation(std::array{5.0}), 0);
  EXPECT_EQ(CoefficientOfVariation(std::array{5.0, 5.0, 5.0}), 0);
  EXPECT_DOUBLE_EQ(CoefficientOfVariation(std::array{1.0, 3.0}),
                   std::sqrt(2.0) / 2);
}

TEST(EntropyBits, OfKnownFrequencies) {
  using Counts = std::vector<uint64_t>;
  EXPECT_EQ(EntropyBits(Counts{}), 0);
  EXPECT_EQ(EntropyBits(Counts{7}), 0);
  EXPECT_EQ(EntropyBits(Counts{7, 0, 7}), 1);
  EXPECT_EQ(EntropyBits(Counts(256, 3)), 8);
  EXPECT_DOUBLE_EQ(EntropyBits(Counts{2, 1, 1}), 1.5);
}

TEST(CompareDecoded, OfASmallExample) {
  const std::vector<float> values = {3, 4, 0, 0};
  const std::vector<float> decoded = {3, 0, 0, 4};
  const Fidelity fidelity = CompareDecoded(values, decoded);
  EXPECT_DOUBLE_EQ(fidelity.rel_l2, std::sqrt(32.0) / 5);
  EXPECT_DOUBLE_EQ(fidelity.cosine, 9.0 / 25);
  EXPECT_EQ(fidelity.bias, 0);
  // Errors 0, -4, 0, 4: deviation sqrt(32/3), of the mean half of that; the
  // values' root mean square is 2.5.
  EXPECT_NEAR(fidelity.bias_ci95, 1.96 * std::sqrt(32.0 / 3) / 2 / 2.5, 1e-4);
}

TEST(CompareDecoded, OfZeros) {
  const std::vector<float> zeros(3);
  const std::vector<float> ones(3, 1.0f);
  EXPECT_EQ(CompareDecoded(zeros, zeros).rel_l2, 0);
  EXPECT_EQ(CompareDecoded(zeros, zeros).cosine, 1);
  EXPECT_EQ(CompareDecoded(ones, zeros).rel_l2, 1);
  EXPECT_EQ(CompareDecoded(ones, zeros).cosine, 0);
}

// An interval of 95 % holds the true bias in about 95 of 100 samples, and moves
// with it.
TEST(CompareDecoded, TheIntervalHoldsTheBias) {
  for (const double bias : {0.0, 0.3}) {
    int holds = 0;
    for (uint64_t sample = 0; sample < 400; ++sample) {
      std::vector<float> values(500), decoded(500);
      for (size_t i = 0; i < values.size(); ++i) {
        values[i] = i % 2 == 0 ? 1 : -1;
        decoded[i] =
            values[i] + bias + RandomUnit(MixKey({9, sample}), i) - 0.5;
      }
      const Fidelity fidelity = CompareDecoded(values, decoded);
      holds += std::abs(fidelity.bias - bias) <= fidelity.bias_ci95;
    }
    EXPECT_GE(holds, 365) << bias;
    EXPECT_LE(holds, 395) << bias;
  }
}

GradientCodec Kind(GradientCodec::Kind kind) {
  GradientCodec codec;
  codec.set_kind(kind);
  return codec;
}

TEST(SymbolEntropyBits, LevelsDoNotDependOnTheirScale) {
  // Blocks of -s, 0, s with another s each; half are zeros.
  std::vector<float> decoded(2 * kBlockElementsMax);
  for (size_t i = 0; i < decoded.size(); ++i) {
    const float scale = i < kBlockElementsMax ? 0.5f : 3.0f;
    decoded[i] = i % 2 == 0 ? (i % 4 == 0 ? 0.0f : -0.0f)
                            : (i % 4 == 1 ? scale : -scale);
  }
  EXPECT_DOUBLE_EQ(
      SymbolEntropyBits(Kind(GradientCodec::TERNGRAD), decoded, decoded), 1.5);
}

TEST(SymbolEntropyBits, BucketsShareTheirLevels) {
  // Two buckets of 4 with norms 7 and 70: the levels are the same.
  GradientCodec codec = Kind(GradientCodec::QSGD);
  codec.set_levels(7);
  codec.set_bucket(4);
  const std::vector<float> values = {7, -1, 0, 1, 70, -10, 0, 10};
  EXPECT_DOUBLE_EQ(SymbolEntropyBits(codec, values, values), 2);
  codec.set_norm(GradientCodec::L2);
  codec.set_levels(5);
  const std::vector<float> vectors = {3, 4, 0, 0, 0, 30, 40, 0};
  EXPECT_DOUBLE_EQ(SymbolEntropyBits(codec, vectors, vectors), 1.5);
}

TEST(SymbolEntropyBits, ManyValuesCountByTheirBytes) {
  // Bytes 0 and 1 are uniform, the others constant: 16 bits.
  std::vector<float> all(65536);
  for (uint32_t i = 0; i < all.size(); ++i) {
    all[i] = std::bit_cast<float>(0x3f800000u | i);
  }
  EXPECT_NEAR(SymbolEntropyBits(Kind(GradientCodec::NONE), all, all), 16, 1e-9);
  // The same among as many zeros: a bit for which, and 16 for half of them.
  all.resize(2 * all.size());
  EXPECT_NEAR(SymbolEntropyBits(Kind(GradientCodec::TOPK), all, all), 9, 1e-9);
}

TEST(SymbolEntropyBits, OfNothing) {
  EXPECT_EQ(SymbolEntropyBits(Kind(GradientCodec::NONE), {}, {}), 0);
}

}  // namespace
}  // namespace terse
