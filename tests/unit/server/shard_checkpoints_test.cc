#include "server/shard_checkpoints.h"

#include <string>
#include <utility>
#include <vector>

#include "common/config/job.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace terse {
namespace {

using ::testing::ElementsAre;

constexpr char kJob[] = R"(
model: {mlp: {hidden: [4], batch_norm: false}}
data: {kind: noise, shape: [1, 2, 3]}
train: {steps: 50, batch_size: 8}
cluster: {servers: 1, workers: 2}
)";

// Writes nothing and says so at once.
class NoDisk final : public Background {
 public:
  void Run(Work, Done done) override {
    done(absl::UnavailableError("there is no disk"));
  }
  void Poll() override {}
};

TEST(ShardCheckpointsTest, AbandonedCutsMakePlaceForNewerOnes) {
  const Job job = *ParseJob(kJob, "shard_checkpoints_test", {});
  const Plan plan = *MakePlan(job);
  const BlockStore store(job, plan, 0);
  NoDisk disk;
  std::vector<uint64_t> ended;
  ShardCheckpoints checkpoints(
      plan, 0, 1, "nowhere", disk,
      [&](uint64_t version, const wire::Checkpointed&) {
        ended.push_back(version);
      });
  // One worker begins a checkpoint of every version.
  for (uint64_t version = 1; version <= 20; ++version) {
    ASSERT_TRUE(checkpoints.OnCut(0, version, version, store).ok());
  }
  for (const uint64_t version : {1, 17, 19}) {
    EXPECT_TRUE(checkpoints.OnCut(1, version, 20, store).ok());
  }
  EXPECT_THAT(ended, ElementsAre(19));
  EXPECT_TRUE(checkpoints.OnCut(1, 20, 20, store).ok());
  EXPECT_THAT(ended, ElementsAre(19, 20));
  EXPECT_TRUE(absl::IsInvalidArgument(checkpoints.OnCut(0, 30, 20, store)));
}

}  // namespace
}  // namespace terse
