#include "common/codec/index_coding.h"

#include <cmath>
#include <numeric>
#include <vector>

#include "common/base/random.h"
#include "gtest/gtest.h"

namespace terse {
namespace {

std::vector<uint8_t> Encode(const std::vector<uint32_t>& indices,
                            size_t count) {
  std::vector<uint8_t> bytes(MaxIndexBytes(count, indices.size()));
  bytes.resize(EncodeIndices(indices, count, bytes));
  return bytes;
}

std::vector<uint32_t> Read(const std::vector<uint8_t>& bytes, size_t kept) {
  IndexReader reader(bytes);
  std::vector<uint32_t> indices(kept);
  for (uint32_t& index : indices) index = reader.Next();
  // Runs of any length give the same.
  IndexReader by_runs(bytes);
  std::vector<uint32_t> again(kept);
  for (size_t i = 0, run = 0; i < kept; i += run) {
    run = std::min(kept - i, i % 130);
    if (run == 0) {
      again[i] = by_runs.Next();
      run = 1;
    } else {
      by_runs.Read(std::span(again).subspan(i, run));
    }
  }
  EXPECT_EQ(again, indices);
  return indices;
}

// Each position with probability `share`.
std::vector<uint32_t> RandomSet(size_t count, double share, uint64_t key) {
  std::vector<uint32_t> indices;
  for (size_t i = 0; i < count; ++i) {
    if (RandomBits(key, i) < share * 0x1p32) indices.push_back(i);
  }
  return indices;
}

void ExpectRoundTrip(const std::vector<uint32_t>& indices, size_t count) {
  auto bytes = Encode(indices, count);
  const auto used = ValidateIndices(bytes, count, indices.size());
  ASSERT_TRUE(used.ok()) << used.status();
  ASSERT_EQ(*used, bytes.size());
  ASSERT_EQ(Read(bytes, indices.size()), indices);
  // What follows the set is not looked at.
  bytes.resize(bytes.size() + 9, 0xff);
  ASSERT_EQ(*ValidateIndices(bytes, count, indices.size()), bytes.size() - 9);
  ASSERT_EQ(Read(bytes, indices.size()), indices);
}

TEST(IndexCodingTest, RoundTripsSetsOfAllDensities) {
  for (size_t count : {1, 2, 7, 8, 9, 64, 65, 1000, 100000}) {
    for (double share : {0.0, 1e-4, 1e-3, 0.01, 0.1, 0.3, 0.5, 0.9, 0.999}) {
      ExpectRoundTrip(RandomSet(count, share, count), count);
    }
    std::vector<uint32_t> all(count);
    std::iota(all.begin(), all.end(), 0u);
    ExpectRoundTrip(all, count);
    ExpectRoundTrip({static_cast<uint32_t>(count - 1)}, count);
    ExpectRoundTrip({0}, count);
  }
}

TEST(IndexCodingTest, RoundTripsClustersAndLongGaps) {
  std::vector<uint32_t> cluster(500);
  std::iota(cluster.begin(), cluster.end(), 99500u);
  ExpectRoundTrip(cluster, 100000);
  std::iota(cluster.begin(), cluster.end(), 0u);
  cluster.push_back((1u << 31) - 2);
  ExpectRoundTrip(cluster, (size_t{1} << 31) - 1);
}

TEST(IndexCodingTest, IndependentPositionsCostNearTheirEntropy) {
  constexpr size_t kCount = 1 << 20;
  for (double share : {1e-3, 0.01, 0.05, 0.1, 0.25}) {
    const auto indices = RandomSet(kCount, share, 11);
    const double n = kCount, k = static_cast<double>(indices.size());
    const double entropy =
        (std::lgamma(n + 1) - std::lgamma(k + 1) - std::lgamma(n - k + 1)) /
        std::log(2.0);
    const double bits =
        8.0 * static_cast<double>(Encode(indices, kCount).size());
    EXPECT_LT(bits / entropy, 1.02) << share;
    EXPECT_GT(bits / entropy, 0.99) << share;
  }
}

TEST(IndexCodingTest, ClustersCostLessThanIndependentPositions) {
  std::vector<uint32_t> cluster(2622);
  std::iota(cluster.begin(), cluster.end(), 1000u);
  EXPECT_LT(Encode(cluster, 1 << 18).size(), 2622u * 2 / 8);
}

TEST(IndexCodingTest, TypicalIsCloseAndMaxIsMax) {
  for (double share : {1e-3, 0.01, 0.1, 0.25, 0.6}) {
    const auto indices = RandomSet(100000, share, 12);
    const double bytes = Encode(indices, 100000).size();
    EXPECT_NEAR(TypicalIndexBytes(100000, indices.size()) / bytes, 1, 0.05);
    EXPECT_LE(bytes, MaxIndexBytes(100000, indices.size()));
  }
}

void ExpectRefused(const std::vector<uint8_t>& bytes, size_t count,
                   size_t kept) {
  EXPECT_EQ(ValidateIndices(bytes, count, kept).status().code(),
            absl::StatusCode::kDataLoss);
}

TEST(IndexCodingTest, RefusesWhatIsNoSet) {
  ExpectRefused({}, 10, 1);
  ExpectRefused({32, 1}, 10, 1);                  // Unknown form.
  ExpectRefused({0xfd, 1}, 10, 1);                // Unknown form.
  ExpectRefused({kIndexAll}, 10, 9);              // Not all.
  ExpectRefused({kIndexBitmap, 0xff}, 8, 8);      // All, said otherwise.
  ExpectRefused({kIndexBitmap, 0x01}, 10, 1);     // Bitmap cut short.
  ExpectRefused({kIndexBitmap, 0x03, 0}, 10, 1);  // One too many.
  ExpectRefused({kIndexBitmap, 0, 0x04}, 10, 1);  // Beyond the block.
  ExpectRefused({0, 0}, 10, 1);                   // Quotient without an end.
  ExpectRefused({0, 0, 0x04}, 10, 1);             // Index 10 of 10.
  ExpectRefused({0, 0x05}, 10, 1);                // Padding.
  ExpectRefused({3, 0x80}, 10, 1);                // Low bits cut short.
  ExpectRefused({0, 0x01}, 10, 11);               // More than there are.
  ExpectRefused({31, 0x02, 0, 0, 0}, 10, 1);      // 2^31.
}

TEST(IndexCodingTest, AnyBytesAreRefusedOrReadInRange) {
  for (uint64_t round = 0; round < 20000; ++round) {
    std::vector<uint8_t> bytes(1 + RandomBits(round, 0) % 40);
    for (size_t i = 0; i < bytes.size(); ++i)
      bytes[i] = RandomBits(round, 9 + i);
    if (round % 2 == 0) bytes[0] %= 8;
    const size_t count = 1 + RandomBits(round, 1) % 300;
    const size_t kept = RandomBits(round, 2) % (count + 1);
    const auto used = ValidateIndices(bytes, count, kept);
    if (!used.ok()) continue;
    ASSERT_LE(*used, bytes.size());
    int64_t last = -1;
    for (uint32_t index : Read(bytes, kept)) {
      ASSERT_GT(index, last);
      ASSERT_LT(index, count);
      last = index;
    }
  }
}

}  // namespace
}  // namespace terse
