// What is measured is this machine's; that everything a job can ask for is
// measured, and its bytes are the plan's, is not.
#include "worker/step_work.h"

#include <cmath>
#include <string>

#include "common/config/job.h"
#include "common/cost/candidates.h"
#include "common/cost/traffic.h"
#include "common/plan/plan.h"
#include "gtest/gtest.h"

namespace terse {
namespace {

Job JobOf(const std::vector<std::string>& overrides) {
  const absl::StatusOr<Job> job = ParseJob(R"(
model: {mlp: [300, 40]}
data: {kind: noise, shape: [1000]}
optimizer: {kind: sgd, learning_rate: 0.01, momentum: 0.9}
train: {steps: 10, batch_size: 20}
cluster: {workers: 5, servers: 2}
)",
                                           "test", overrides);
  EXPECT_TRUE(job.ok()) << job.status();
  return job.ok() ? *job : Job();
}

StepWork Measured(const Job& job) {
  const absl::StatusOr<StepWork> work = MeasureStepWork(job);
  EXPECT_TRUE(work.ok()) << work.status();
  return work.ok() ? *work : StepWork();
}

TEST(StepWorkTest, EveryUsualCandidateIsMeasured) {
  const Job job = JobOf({});
  for (const GradientCodec& codec : Candidates(job)) {
    SCOPED_TRACE(PrintCodec(codec));
    const Job with = WithGradient(job, codec);
    const StepWork work = Measured(with);
    const absl::StatusOr<Plan> plan = MakePlan(with);
    ASSERT_TRUE(plan.ok());
    EXPECT_EQ(work.bytes_up, PlanTraffic(*plan).bytes_up());
    EXPECT_EQ(work.bytes_down, PlanTraffic(*plan).bytes_down());
    for (const double ms :
         {work.encode_ms, work.add_ms, work.close_ms, work.decode_ms}) {
      EXPECT_TRUE(std::isfinite(ms) && ms >= 0) << ms;
    }
    EXPECT_GT(work.encode_ms, 0);
    EXPECT_GT(work.decode_ms, 0);
    EXPECT_EQ(work.two_exchanges, codec.kind() == GradientCodec::POWERSGD);
  }
}

TEST(StepWorkTest, QuantizersClippingAndScansAreToo) {
  for (const char* set :
       {"quantize.weights=binaryconnect", "quantize.weights=twn",
        "quantize.weights=ttq", "clip.global_norm=1", "optimizer=adam",
        "compress.gradient={kind: topk, per: tensor}",
        "compress.gradient={kind: terngrad, per: tensor, scale: shared}",
        "compress.gradient={kind: topk, error_feedback: true, "
        "momentum_correction: 0.9}"}) {
    SCOPED_TRACE(set);
    std::vector<std::string> overrides = {set};
    if (std::string(set).find("momentum_correction") != std::string::npos) {
      overrides.push_back("optimizer.momentum=0");
    }
    const StepWork work = Measured(JobOf(overrides));
    EXPECT_GT(work.encode_ms, 0);
    EXPECT_GT(work.blocks, 0);
  }
}

TEST(StepWorkTest, AJobThatCannotBePlannedIsAnError) {
  Job job = JobOf({});
  job.mutable_cluster()->set_servers(1000);
  EXPECT_FALSE(MeasureStepWork(job).ok());
}

}  // namespace
}  // namespace terse
