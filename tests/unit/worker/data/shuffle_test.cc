#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <vector>

#include "worker/data/dataset.h"

namespace terse {
namespace {

TEST(ShuffledIndex, IsAPermutationOfEverySize) {
  std::vector<uint64_t> sizes = {127, 128, 129, 1009, 4096, 4097, 60000};
  for (uint64_t size = 1; size <= 70; ++size) sizes.push_back(size);
  for (const uint64_t size : sizes) {
    std::vector<bool> seen(size);
    for (uint64_t position = 0; position < size; ++position) {
      const uint64_t index = ShuffledIndex(7, 3, size, position);
      ASSERT_LT(index, size);
      ASSERT_FALSE(seen[index]) << "size " << size << ", index " << index;
      seen[index] = true;
    }
  }
}

TEST(ShuffledIndex, StaysInRangeOfHugeSizes) {
  constexpr uint64_t kSize = (uint64_t{1} << 40) + 12345;
  for (uint64_t position = 0; position < 1000; ++position) {
    ASSERT_LT(ShuffledIndex(1, 1, kSize, position * 1000003), kSize);
  }
}

TEST(ShuffledIndex, DependsOnSeedAndEpoch) {
  constexpr uint64_t kSize = 1000;
  int same_seed = 0;
  int same_epoch = 0;
  for (uint64_t position = 0; position < kSize; ++position) {
    const uint64_t index = ShuffledIndex(1, 0, kSize, position);
    same_seed += index == ShuffledIndex(2, 0, kSize, position);
    same_epoch += index == ShuffledIndex(1, 1, kSize, position);
  }
  // One match each is expected; ten have a probability of about 1e-7.
  EXPECT_LT(same_seed, 10);
  EXPECT_LT(same_epoch, 10);
}

// Over the epochs, every position sees every index alike, also in sets so small
// that the network's halves have one bit or two.
TEST(ShuffledIndex, FavoursNoIndex) {
  for (const uint64_t size : {2, 3, 5, 8, 10}) {
    constexpr uint64_t kEpochs = 20000;
    std::array<std::array<double, 10>, 10> counts{};
    for (uint64_t epoch = 0; epoch < kEpochs; ++epoch) {
      for (uint64_t position = 0; position < size; ++position) {
        ++counts[position][ShuffledIndex(5, epoch, size, position)];
      }
    }
    const double expected = double(kEpochs) / double(size);
    for (uint64_t position = 0; position < size; ++position) {
      double chi_square = 0;
      for (uint64_t index = 0; index < size; ++index) {
        const double off = counts[position][index] - expected;
        chi_square += off * off / expected;
      }
      // 9 degrees of freedom at most: the mean is 9, 40 lies beyond 1e-5.
      EXPECT_LT(chi_square, 40) << "size " << size << ", position " << position;
    }
  }
}

}  // namespace
}  // namespace terse
