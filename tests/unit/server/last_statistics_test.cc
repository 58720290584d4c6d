#include "server/last_statistics.h"

#include <cstring>
#include <string>
#include <vector>

#include "common/config/job.h"
#include "gtest/gtest.h"
#include "proto/wire.pb.h"

namespace terse {
namespace {

class LastStatisticsTest : public testing::Test {
 protected:
  LastStatisticsTest() {
    const absl::StatusOr<Job> job = ParseJob(
        "model: {mlp: {hidden: [4], batch_norm: true}}\n"
        "data: {kind: noise, shape: [1, 2, 3]}\n"
        "train: {steps: 5, batch_size: 8}\n"
        "cluster: {servers: 1, workers: 3}\n",
        "test", {});
    EXPECT_TRUE(job.ok()) << job.status();
    absl::StatusOr<Plan> plan = MakePlan(*job);
    EXPECT_TRUE(plan.ok()) << plan.status();
    plan_ = *std::move(plan);
    blocks_ = plan_.BlocksOf(0, /*buffers=*/true);
  }

  Buffer Values(uint32_t block, float value) const {
    const std::vector<float> values(plan_.blocks[block].count, value);
    return Buffer::CopyOf(std::as_bytes(std::span(values)));
  }
  // All blocks of `worker`, which are `value` everywhere.
  void Add(LastStatistics& last, uint32_t worker, uint64_t version,
           float value) const {
    for (const uint32_t block : blocks_) {
      ASSERT_TRUE(last.Add(worker, version, block, Values(block, value)).ok());
    }
  }
  // The value of all blocks that `worker` goes on with.
  float Of(const LastStatistics& last, uint32_t worker, uint64_t version,
           bool or_means = false) const {
    const auto frames = last.Of(worker, version, or_means);
    if (!frames.ok()) return -1;
    EXPECT_EQ(frames->size(), blocks_.size());
    float first = 0;
    for (size_t i = 0; i < frames->size(); ++i) {
      const Frame& frame = (*frames)[i];
      EXPECT_EQ(frame.type, wire::KEPT);
      EXPECT_EQ(frame.step, version);
      EXPECT_EQ(frame.block, blocks_[i]);
      std::memcpy(&first, frame.payload.bytes().data(), sizeof(first));
      const Buffer expected = Values(frame.block, first);
      EXPECT_EQ(std::memcmp(frame.payload.bytes().data(),
                            expected.bytes().data(), expected.size()),
                0);
    }
    return first;
  }

  Plan plan_;
  std::vector<uint32_t> blocks_;
};

TEST_F(LastStatisticsTest, ARankGoesOnWithItsOwn) {
  LastStatistics last(plan_, 0, 2);
  Add(last, 0, 4, 1);
  Add(last, 1, 4, 2);
  Add(last, 1, 5, 3);
  EXPECT_EQ(Of(last, 0, 4), 1);
  EXPECT_EQ(Of(last, 1, 4), 2);
  EXPECT_EQ(Of(last, 1, 5), 3);
  EXPECT_EQ(Of(last, 0, 5), -1);
}

TEST_F(LastStatisticsTest, WhereItHasNoneWithTheMean) {
  LastStatistics last(plan_, 0, 2);
  Add(last, 0, 4, 1);
  Add(last, 1, 4, 2);
  EXPECT_EQ(Of(last, 1, 4, /*or_means=*/true), 2);
  EXPECT_EQ(Of(last, 2, 4, /*or_means=*/true), 1.5f);
  EXPECT_EQ(Of(last, 2, 5, /*or_means=*/true), -1);
}

TEST_F(LastStatisticsTest, OnlyTheLastVersionsAreKept) {
  LastStatistics last(plan_, 0, 2);
  Add(last, 0, 4, 1);
  Add(last, 0, 5, 2);
  Add(last, 0, 6, 3);
  Add(last, 0, 4, 4);  // Late.
  EXPECT_EQ(Of(last, 0, 4), -1);
  EXPECT_EQ(Of(last, 0, 5), 2);
  EXPECT_EQ(Of(last, 0, 6), 3);
}

TEST_F(LastStatisticsTest, WhatDoesNotFitIsRefused) {
  LastStatistics last(plan_, 0, 2);
  EXPECT_TRUE(absl::IsDataLoss(last.Add(0, 1, blocks_[0], Buffer())));
  LastStatistics none(plan_, 0, 0);
  EXPECT_TRUE(absl::IsInvalidArgument(
      none.Add(0, 1, blocks_[0], Values(blocks_[0], 1))));
}

}  // namespace
}  // namespace terse
