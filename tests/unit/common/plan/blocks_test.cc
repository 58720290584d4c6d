#include "common/plan/blocks.h"

#include <algorithm>
#include <numeric>
#include <string>
#include <vector>

#include "common/base/limits.h"
#include "common/base/random.h"
#include "common/base/status.h"
#include "gtest/gtest.h"

namespace terse {
namespace {

using Role = TensorSpec::Role;

struct TensorSize {
  uint64_t rows;
  uint64_t row_elements;
  Role role = Role::kWeight;
};

Plan PlanOf(const std::vector<TensorSize>& sizes) {
  Plan plan;
  for (size_t i = 0; i < sizes.size(); ++i) {
    plan.model.tensors.push_back(
        {.name = "t" + std::to_string(i),
         .shape = {sizes[i].rows, sizes[i].row_elements},
         .role = sizes[i].role});
    plan.tensors.push_back({.row_elements = sizes[i].row_elements});
  }
  return plan;
}

// Every element of every tensor is in one block; blocks are of legal size.
void CheckCover(const Plan& plan) {
  std::vector<uint64_t> covered(plan.tensors.size(), 0);
  for (const BlockSpec& block : plan.blocks) {
    EXPECT_EQ(block.first_index, covered[block.tensor]);
    EXPECT_GT(block.count, 0);
    EXPECT_LE(block.count, kBlockElementsMax);
    covered[block.tensor] += block.count;
  }
  uint64_t blocks = 0;
  for (uint32_t t = 0; t < plan.tensors.size(); ++t) {
    EXPECT_EQ(covered[t], ElementCount(plan.model.tensors[t].shape));
    for (uint32_t b = 0; b < plan.tensors[t].block_count; ++b) {
      EXPECT_EQ(plan.blocks[plan.tensors[t].first_block + b].tensor, t);
    }
    blocks += plan.tensors[t].block_count;
  }
  EXPECT_EQ(blocks, plan.blocks.size());
}

TEST(BlockElementsTest, CutsEqualRunsOfWholeRows) {
  constexpr uint64_t kMax = kBlockElementsMax;
  EXPECT_EQ(BlockElements(1, 1), 1);
  EXPECT_EQ(BlockElements(kMax, 1), kMax);
  EXPECT_EQ(BlockElements(kMax + 1, 1), kMax / 2 + 1);
  EXPECT_EQ(BlockElements(kMax * 2, 1), kMax);
  // 64 rows of 4096 fit; 65 rows make two runs of 33 and 32.
  EXPECT_EQ(BlockElements(64 * 4096, 4096), 64 * 4096);
  EXPECT_EQ(BlockElements(65 * 4096, 4096), 33 * 4096);
  // 334 rows of 784 fit: 4096 rows are 13 runs of 316 at most.
  EXPECT_EQ(BlockElements(4096 * 784, 784), 316 * 784);
  // A row of the limit is a block; one above it is cut where it falls.
  EXPECT_EQ(BlockElements(3 * kMax, kMax), kMax);
  EXPECT_EQ(BlockElements(2 * (kMax + 1), kMax + 1), (2 * kMax + 2 + 2) / 3);
}

TEST(CutBlocksTest, ParametersComeBeforeBuffers) {
  Plan plan = PlanOf({{3, 5},
                      {7, 1, Role::kBuffer},
                      {4, 1, Role::kParameter},
                      {2, 1, Role::kBuffer}});
  ASSERT_TRUE(CutBlocks(plan).ok());
  CheckCover(plan);
  ASSERT_EQ(plan.blocks.size(), 4);
  EXPECT_EQ(plan.blocks[0].tensor, 0);
  EXPECT_EQ(plan.blocks[1].tensor, 2);
  EXPECT_EQ(plan.blocks[2].tensor, 1);
  EXPECT_EQ(plan.blocks[3].tensor, 3);
}

TEST(CutBlocksTest, AnyShapesAreCovered) {
  uint64_t draw = 0;
  const auto below = [&draw](uint64_t end) { return Mix64(++draw) % end; };
  for (int round = 0; round < 200; ++round) {
    std::vector<TensorSize> sizes;
    for (uint64_t i = 0; i <= below(4); ++i) {
      const uint64_t row = 1 + below(uint64_t{1} << below(20));
      sizes.push_back({1 + below(uint64_t{1} << below(8)), row,
                       static_cast<Role>(below(3))});
    }
    Plan plan = PlanOf(sizes);
    ASSERT_TRUE(CutBlocks(plan).ok());
    CheckCover(plan);
    for (const BlockSpec& block : plan.blocks) {
      const uint64_t row = plan.tensors[block.tensor].row_elements;
      if (row > kBlockElementsMax) continue;
      EXPECT_EQ(block.first_index % row, 0);
      EXPECT_EQ(block.count % row, 0);
    }
  }
}

TEST(CutBlocksTest, TooManyBlocksAreRefused) {
  Plan plan = PlanOf({{kBlocksMax + uint64_t{1}, kBlockElementsMax}});
  const absl::Status status = CutBlocks(plan);
  EXPECT_EQ(ExitCodeOf(status), ExitCode::kBadJob);
  EXPECT_TRUE(plan.blocks.empty());
}

TEST(DealBlocksTest, LargestFirstToTheLeastLoaded) {
  Plan plan = PlanOf({{10, 1}, {70, 1}, {40, 1}, {30, 1}, {40, 1}});
  ASSERT_TRUE(CutBlocks(plan).ok());
  ASSERT_TRUE(DealBlocks(2, plan).ok());
  // 70 to 0, 40 to 1, 40 to 1, 30 to 0, 10 to 1 (80 against 100).
  EXPECT_EQ(plan.blocks[1].shard, 0);
  EXPECT_EQ(plan.blocks[2].shard, 1);
  EXPECT_EQ(plan.blocks[4].shard, 1);
  EXPECT_EQ(plan.blocks[3].shard, 0);
  EXPECT_EQ(plan.blocks[0].shard, 1);
  EXPECT_EQ(plan.BlocksOf(0, false), (std::vector<uint32_t>{1, 3}));
  EXPECT_EQ(plan.BlocksOf(1, false), (std::vector<uint32_t>{0, 2, 4}));
}

TEST(DealBlocksTest, EveryShardHoldsSomethingAndTheLoadIsEven) {
  Plan plan = PlanOf({{4096, 784}, {4096, 4096}, {10, 4096}});
  ASSERT_TRUE(CutBlocks(plan).ok());
  for (const uint32_t servers : {1u, 2u, 3u, 7u, 50u}) {
    ASSERT_TRUE(DealBlocks(servers, plan).ok());
    std::vector<uint64_t> loads(servers, 0);
    for (const BlockSpec& block : plan.blocks) {
      ASSERT_LT(block.shard, servers);
      loads[block.shard] += block.count;
    }
    const auto [least, most] = std::minmax_element(loads.begin(), loads.end());
    EXPECT_GT(*least, 0);
    // What largest-first leaves between two shards is at most a block.
    EXPECT_LE(*most - *least, kBlockElementsMax);
  }
}

TEST(DealBlocksTest, BuffersFillWhatIsLeft) {
  Plan plan = PlanOf(
      {{100, 1}, {60, 1}, {20, 1, Role::kBuffer}, {30, 1, Role::kBuffer}});
  ASSERT_TRUE(CutBlocks(plan).ok());
  ASSERT_TRUE(DealBlocks(2, plan).ok());
  // 30 to the shard of 60, then 20 to it too (90 against 100).
  EXPECT_EQ(plan.BlocksOf(0, true), (std::vector<uint32_t>{}));
  EXPECT_EQ(plan.BlocksOf(1, true), (std::vector<uint32_t>{2, 3}));
}

TEST(DealBlocksTest, MoreServersThanBlocksIsAnError) {
  Plan plan = PlanOf({{5, 1}, {5, 1}, {5, 1, Role::kBuffer}});
  ASSERT_TRUE(CutBlocks(plan).ok());
  EXPECT_TRUE(DealBlocks(2, plan).ok());
  const absl::Status status = DealBlocks(3, plan);
  EXPECT_EQ(ExitCodeOf(status), ExitCode::kBadJob);
  EXPECT_EQ(std::string(status.message()),
            "cluster.servers: 3 servers, but the model has 2 blocks of "
            "parameters to share out; give from 1 to 2");
}

}  // namespace
}  // namespace terse
