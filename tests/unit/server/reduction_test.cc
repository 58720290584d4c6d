#include "server/reduction.h"

#include <algorithm>
#include <vector>

#include "gtest/gtest.h"

namespace terse {
namespace {

// Sums whose value depends on the order of adding.
const std::vector<double> kParts = {1e17, 1.0, -1e17, 3.5, 1e-3};

TensorStats MergeInOrder(const std::vector<uint32_t>& order) {
  Reduction reduction({.first_block = 10, .block_count = 5});
  for (uint32_t i : order) {
    EXPECT_FALSE(reduction.complete());
    EXPECT_TRUE(
        reduction
            .Add(10 + i, {.max_abs = 1.0 + i, .sum = kParts[i], .count = i + 1})
            .ok());
  }
  EXPECT_TRUE(reduction.complete());
  return reduction.Merged();
}

TEST(ReductionTest, OrderOfArrivalDoesNotMatter) {
  std::vector<uint32_t> order = {0, 1, 2, 3, 4};
  const TensorStats expected = MergeInOrder(order);
  double in_block_order = 0;
  for (double part : kParts) in_block_order += part;
  EXPECT_EQ(expected.sum, in_block_order);
  EXPECT_EQ(expected.max_abs, 5.0);
  EXPECT_EQ(expected.count, 15u);
  while (std::next_permutation(order.begin(), order.end())) {
    ASSERT_EQ(MergeInOrder(order).sum, expected.sum);
  }
}

TEST(ReductionTest, ForeignAndRepeatedBlocksAreRefused) {
  Reduction reduction({.first_block = 2, .block_count = 2});
  EXPECT_TRUE(absl::IsInvalidArgument(reduction.Add(1, {})));
  EXPECT_TRUE(absl::IsInvalidArgument(reduction.Add(4, {})));
  EXPECT_TRUE(reduction.Add(2, {.sum = 1}).ok());
  EXPECT_TRUE(absl::IsInvalidArgument(reduction.Add(2, {.sum = 1})));
  EXPECT_FALSE(reduction.complete());
}

TEST(ReductionTest, RecordsKeepEveryBit) {
  const TensorStats stats = {.max_abs = 0x1.fffffffffffffp-3,
                             .sum = -0x1.0000000000001p+70,
                             .second_sum = 0x1.0000000000003p-90,
                             .count = 9};
  const TensorStats back = FromRecord(ToRecord(3, stats));
  EXPECT_EQ(back.max_abs, stats.max_abs);
  EXPECT_EQ(back.sum, stats.sum);
  EXPECT_EQ(back.second_sum, stats.second_sum);
  EXPECT_EQ(back.count, stats.count);
}

}  // namespace
}  // namespace terse
