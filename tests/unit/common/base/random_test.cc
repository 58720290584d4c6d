#include "common/base/random.h"

#include <bit>
#include <cmath>
#include <cstddef>
#include <vector>

#include "gtest/gtest.h"

namespace terse {
namespace {

// Chi-square of `cells` as a distance from its mean in standard deviations.
double ChiSquareSigmas(const std::vector<int>& cells, double expected) {
  double chi_square = 0;
  for (int cell : cells) {
    chi_square += (cell - expected) * (cell - expected) / expected;
  }
  const double freedom = static_cast<double>(cells.size()) - 1;
  return (chi_square - freedom) / std::sqrt(2 * freedom);
}

// Keys as jobs make them: neighbours in every part.
std::vector<uint64_t> Keys() {
  std::vector<uint64_t> keys;
  for (uint64_t step = 0; step < 8; ++step) {
    for (uint64_t worker = 0; worker < 4; ++worker) {
      keys.push_back(DrawKey(Draw::kEncode, {1, step, worker, 0}));
    }
  }
  return keys;
}

TEST(RandomTest, FixedForever) {
  // Another value here means other results of every job.
  EXPECT_EQ(Mix64(1), 0x5692161d100b05e5u);
  EXPECT_EQ(RandomBits(0, 0), 0u);
  EXPECT_EQ(RandomBits(0x123456789abcdef0u, 1), 847440999u);
  EXPECT_EQ(RandomBits(1, (uint64_t{1} << 32) + 5), 752097981u);
  EXPECT_NE(MixKey({1, 2}), MixKey({2, 1}));
}

TEST(RandomTest, EveryBitIsFair) {
  constexpr int kDraws = 1 << 18;
  for (uint64_t key : Keys()) {
    int ones[32] = {};
    for (uint64_t i = 0; i < kDraws; ++i) {
      const uint32_t bits = RandomBits(key, i);
      for (int b = 0; b < 32; ++b) ones[b] += bits >> b & 1;
    }
    for (int b = 0; b < 32; ++b) {
      const double sigmas = (ones[b] - kDraws / 2) / std::sqrt(kDraws / 4.0);
      EXPECT_LT(std::fabs(sigmas), 5.5) << "bit " << b;
    }
  }
}

TEST(RandomTest, HighAndLowBytesAreUniform) {
  constexpr int kDraws = 1 << 18;
  for (uint64_t key : Keys()) {
    for (int shift : {0, 8, 16, 24}) {
      std::vector<int> cells(256);
      for (uint64_t i = 0; i < kDraws; ++i) {
        ++cells[RandomBits(key, i) >> shift & 0xff];
      }
      // A bijection of 2^32 indices may be more even than chance, not less.
      EXPECT_LT(ChiSquareSigmas(cells, kDraws / 256.0), 6) << shift;
    }
  }
}

TEST(RandomTest, NeighboursDoNotPredict) {
  constexpr int kDraws = 1 << 18;
  for (uint64_t key : Keys()) {
    for (uint64_t distance : {1, 16, 64, 320, 512, 4096}) {
      std::vector<int> cells(64 * 64);
      for (uint64_t i = 0; i < kDraws; ++i) {
        const uint32_t a = RandomBits(key, i) >> 26;
        const uint32_t b = RandomBits(key, i + distance) >> 26;
        ++cells[a * 64 + b];
      }
      EXPECT_LT(std::fabs(ChiSquareSigmas(cells, kDraws / 4096.0)), 6)
          << distance;
    }
  }
}

TEST(RandomTest, HalvesAreThoseOfTheSharedBits) {
  EXPECT_EQ(RandomHalf(3, 1000, 5), RandomBits(3, 1005) & 0xffff);
  EXPECT_EQ(RandomHalf(3, 1000, 37), RandomBits(3, 1005) >> 16);
  EXPECT_EQ(RandomHalf(3, 1000, 64), RandomBits(3, 1064) & 0xffff);
}

TEST(RandomTest, HalvesAreUniformAndNeighboursDoNotPredict) {
  constexpr int kDraws = 1 << 18;
  for (uint64_t key : Keys()) {
    std::vector<uint32_t> halves(kDraws + 4096);
    for (uint64_t i = 0; i < halves.size(); ++i) {
      halves[i] = RandomHalf(key, 12345, i);
    }
    for (int shift : {0, 8}) {
      std::vector<int> cells(256);
      for (int i = 0; i < kDraws; ++i) ++cells[halves[i] >> shift & 0xff];
      EXPECT_LT(ChiSquareSigmas(cells, kDraws / 256.0), 6) << shift;
    }
    // 32: the other half of the same bits.
    for (int distance : {1, 2, 16, 31, 32, 33, 64, 320, 512, 4096}) {
      std::vector<int> cells(64 * 64);
      for (int i = 0; i < kDraws; ++i) {
        ++cells[(halves[i] >> 10) * 64 + (halves[i + distance] >> 10)];
      }
      EXPECT_LT(std::fabs(ChiSquareSigmas(cells, kDraws / 4096.0)), 6)
          << distance;
    }
  }
}

TEST(RandomTest, HalvesOfDifferentStepsAreIndependent) {
  constexpr int kDraws = 1 << 16;
  const auto keys = Keys();
  for (size_t a = 0; a < keys.size(); ++a) {
    for (size_t b = 0; b < a; ++b) {
      double product = 0;
      for (uint64_t i = 0; i < kDraws; ++i) {
        const double x = RandomHalf(keys[a], 0, i) / 65536.0 - 0.5;
        const double y = RandomHalf(keys[b], 0, i) / 65536.0 - 0.5;
        product += x * y;
      }
      EXPECT_LT(std::fabs(product) * 12 / std::sqrt(double{kDraws}), 5.5);
    }
  }
}

TEST(RandomTest, StreamsAreIndependent) {
  constexpr int kDraws = 1 << 16;
  const auto keys = Keys();
  for (size_t a = 0; a < keys.size(); ++a) {
    for (size_t b = 0; b < a; ++b) {
      double product = 0;
      for (uint64_t i = 0; i < kDraws; ++i) {
        product +=
            (RandomUnit(keys[a], i) - 0.5) * (RandomUnit(keys[b], i) - 0.5);
      }
      // Of kDraws products of variance 1/144.
      EXPECT_LT(std::fabs(product) * 12 / std::sqrt(double{kDraws}), 5.5);
    }
  }
}

TEST(RandomTest, AFlippedInputBitFlipsHalfTheOutput) {
  double flipped = 0;
  int count = 0;
  for (uint64_t i = 0; i < 2000; ++i) {
    for (int b = 0; b < 24; ++b, ++count) {
      flipped += std::popcount(RandomBits(5, i) ^
                               RandomBits(5, i ^ (uint64_t{1} << b)));
    }
  }
  EXPECT_NEAR(flipped / count, 16, 0.3);
}

TEST(RandomTest, UnitIsBelowOneAndOnItsGrid) {
  double sum = 0;
  for (uint64_t i = 0; i < 100000; ++i) {
    const float u = RandomUnit(7, i);
    ASSERT_GE(u, 0.0f);
    ASSERT_LT(u, 1.0f);
    ASSERT_EQ(u * 0x1p24f, std::floor(u * 0x1p24f));
    sum += u;
  }
  EXPECT_NEAR(sum / 100000, 0.5, 5.5 * std::sqrt(1.0 / 12 / 100000));
}

TEST(RandomTest, TakesANewKeyEvery32Bits) {
  constexpr uint64_t kPeriod = uint64_t{1} << 32;
  int equal = 0;
  for (uint64_t i = 0; i < 1000; ++i) {
    equal += RandomBits(3, i) == RandomBits(3, i + kPeriod);
    equal += RandomBits(3, i + kPeriod) == RandomBits(3, i + 2 * kPeriod);
  }
  EXPECT_EQ(equal, 0);
}

}  // namespace
}  // namespace terse
