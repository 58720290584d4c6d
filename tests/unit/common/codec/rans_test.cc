#include "common/codec/rans.h"

#include <cmath>
#include <vector>

#include "common/base/random.h"
#include "gtest/gtest.h"

namespace terse {
namespace {

std::vector<uint8_t> Encode(const std::vector<uint8_t>& source) {
  std::vector<uint8_t> target(source.size() * 2 + 1000);
  target.resize(EncodeRans(source, target));
  return target;
}

double Entropy(const std::vector<uint8_t>& bytes) {
  std::vector<double> counts(256);
  for (uint8_t byte : bytes) ++counts[byte];
  double bits = 0;
  for (double count : counts) {
    if (count > 0) bits -= count * std::log2(count / bytes.size());
  }
  return bits;
}

// Bytes of a geometric law: `decay` near 1 is flat, near 0 all zeros.
std::vector<uint8_t> Geometric(size_t count, double decay, uint64_t key) {
  std::vector<uint8_t> bytes(count);
  for (size_t i = 0; i < count; ++i) {
    const double u = (RandomBits(key, i) + 0.5) * 0x1p-32;
    bytes[i] =
        static_cast<uint8_t>(std::min(255.0, std::log(u) / std::log(decay)));
  }
  return bytes;
}

TEST(RansTest, RoundTripsAllLengthsAndLaws) {
  for (size_t count = 1; count < 70; ++count) {
    for (double decay : {0.001, 0.5, 0.9, 0.999}) {
      const auto source = Geometric(count, decay, count);
      std::vector<uint8_t> decoded(count);
      ASSERT_TRUE(DecodeRans(Encode(source), decoded).ok()) << count;
      ASSERT_EQ(decoded, source);
    }
  }
  for (double decay : {1e-9, 0.01, 0.3, 0.7, 0.95, 0.99999}) {
    const auto source = Geometric(100003, decay, 7);
    std::vector<uint8_t> decoded(source.size());
    ASSERT_TRUE(DecodeRans(Encode(source), decoded).ok()) << decay;
    ASSERT_EQ(decoded, source) << decay;
  }
}

TEST(RansTest, GivesUpOnWhatDoesNotFit) {
  const auto source = Geometric(50000, 0.9, 3);
  const size_t bytes = Encode(source).size();
  std::vector<uint8_t> target(bytes);
  EXPECT_EQ(EncodeRans(source, target), bytes);
  for (size_t size : {bytes - 1, bytes / 2, size_t{100}, size_t{0}}) {
    target.resize(size);
    EXPECT_EQ(EncodeRans(source, target), 0u) << size;
  }
}

TEST(RansTest, ComesWithinOnePercentOfTheEntropy) {
  for (double decay : {0.5, 0.9, 0.98}) {
    const auto source = Geometric(200000, decay, 9);
    const double bits = 8.0 * static_cast<double>(Encode(source).size());
    EXPECT_LT(bits / Entropy(source), 1.01) << decay;
    EXPECT_GE(bits / Entropy(source), 1.0) << decay;
  }
}

TEST(RansTest, ARareByteAmongManyEqual) {
  std::vector<uint8_t> source(100000, 7);
  source[50000] = 200;
  std::vector<uint8_t> decoded(source.size());
  ASSERT_TRUE(DecodeRans(Encode(source), decoded).ok());
  EXPECT_EQ(decoded, source);
  source[50000] = 7;
  EXPECT_EQ(Encode(source).size(), 2u);
}

TEST(RansTest, GivesUpWhereItDoesNotFit) {
  std::vector<uint8_t> source(1000);
  for (size_t i = 0; i < source.size(); ++i) source[i] = RandomBits(3, i) >> 24;
  std::vector<uint8_t> target(source.size() - 1);
  EXPECT_EQ(EncodeRans(source, target), 0u);
}

TEST(RansTest, EveryDamageIsRefusedOrHarmless) {
  const auto source = Geometric(3000, 0.9, 4);
  const auto good = Encode(source);
  std::vector<uint8_t> decoded(source.size());
  for (size_t size = 0; size < good.size(); ++size) {
    ASSERT_FALSE(DecodeRans(std::span(good).first(size), decoded).ok());
  }
  int refused = 0;
  for (uint64_t round = 0; round < 2000; ++round) {
    auto bad = good;
    bad[RandomBits(round, 0) % bad.size()] ^= 1 << RandomBits(round, 1) % 8;
    refused += DecodeRans(bad, decoded).ok() ? 0 : 1;
  }
  // The eight states end where they started by chance once in 2^15 at most.
  EXPECT_GE(refused, 1998);
}

TEST(RansTest, AnyBytesAreSafe) {
  for (uint64_t round = 0; round < 20000; ++round) {
    std::vector<uint8_t> bytes(RandomBits(round, 0) % 400);
    for (size_t i = 0; i < bytes.size(); ++i) {
      bytes[i] = RandomBits(round, 9 + i) & RandomBits(round, 9000 + i);
    }
    if (!bytes.empty()) bytes[0] %= 14;
    std::vector<uint8_t> decoded(1 + RandomBits(round, 1) % 100);
    (void)DecodeRans(bytes, decoded).ok();
  }
}

}  // namespace
}  // namespace terse
