#include "common/checkpoint/members.h"

#include <string>
#include <vector>

#include "common/config/job.h"
#include "gtest/gtest.h"

namespace terse {
namespace {

constexpr char kFeedback[] =
    "compress.gradient={kind: topk, error_feedback: true}";

struct Replacing {
  bool takes = false;   // TakesReplacements.
  bool shares = false;  // SharesStatistics.
};

Replacing Of(const std::vector<std::string>& overrides) {
  const absl::StatusOr<Job> job = ParseJob(
      "model: {mlp: {hidden: [4], batch_norm: true}}\n"
      "data: {kind: noise, shape: [1, 2, 3]}\n"
      "compress:\n"
      "  {gradient: terngrad, down: weights, small_tensor_elements: 0}\n"
      "train: {steps: 5, batch_size: 8}\n",
      "test", overrides);
  EXPECT_TRUE(job.ok()) << job.status();
  const absl::StatusOr<Plan> plan = MakePlan(*job);
  EXPECT_TRUE(plan.ok()) << plan.status();
  return {TakesReplacements(*job, *plan), SharesStatistics(*job, *plan)};
}

TEST(MembersTest, StatisticsAreSharedWhereAnotherMayTakeARank) {
  EXPECT_TRUE(Of({}).takes);
  EXPECT_TRUE(Of({}).shares);
  const std::string none = "model.mlp.batch_norm=false";
  EXPECT_TRUE(Of({none}).takes);
  EXPECT_FALSE(Of({none}).shares);
}

TEST(MembersTest, ResidualsAreLostWithTheirWorker) {
  EXPECT_FALSE(Of({kFeedback}).takes);
  EXPECT_FALSE(Of({kFeedback}).shares);
  // Where bits may differ, another begins without.
  const std::string goes_on = "cluster.on_worker_loss=continue";
  EXPECT_TRUE(Of({kFeedback, goes_on}).takes);
  EXPECT_TRUE(Of({kFeedback, goes_on}).shares);
}

TEST(MembersTest, NobodyTakesARankWhereTheJobEndsWithIt) {
  for (const std::string override :
       {"cluster.mode=ssp", "cluster.transport=mpi",
        "cluster.servers=colocated", "compress.down=sum"}) {
    EXPECT_FALSE(Of({override}).takes) << override;
    EXPECT_FALSE(Of({override}).shares) << override;
  }
}

}  // namespace
}  // namespace terse
