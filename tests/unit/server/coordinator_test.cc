#include "server/coordinator.h"

#include <vector>

#include "common/config/job.h"
#include "gtest/gtest.h"

namespace terse {
namespace {

constexpr char kJob[] = R"(
model: {mlp: {hidden: [4], batch_norm: true}}
data: {kind: noise, shape: [1, 2, 3], train_samples: 160}
train: {steps: 5, batch_size: 8}
cluster: {servers: 1, workers: 2}
)";

class CoordinatorTest : public testing::Test {
 protected:
  CoordinatorTest()
      : job_(*ParseJob(kJob, "coordinator_test", {})),
        plan_(*MakePlan(job_)),
        coordinator_(job_, plan_, 0, [this](const nlohmann::json& event) {
          if (event["event"] == "progress") progress_.push_back(event);
          last_ = event;
        }) {
    wire::Ready ready;
    ready.set_train_samples(160);
    ready.set_test_samples(20);
    EXPECT_TRUE(coordinator_.OnReady(0, ready).ok());
    EXPECT_TRUE(coordinator_.OnReady(1, ready).ok());
    coordinator_.OnStart(now_);
  }

  // Both workers report `step`, a second after the last.
  void Report(uint64_t step, std::optional<double> first,
              std::optional<double> second) {
    now_ += absl::Seconds(1);
    uint32_t worker = 0;
    for (const std::optional<double>& ratio : {first, second}) {
      wire::StepReport report;
      report.set_samples(8);
      report.set_loss_sum(8);
      if (ratio) report.set_residual_norm_ratio(*ratio);
      coordinator_.OnStepReport(now_, worker++, step, report);
    }
  }

  const Job job_;
  const Plan plan_;
  absl::Time now_ = absl::UnixEpoch();
  std::vector<nlohmann::json> progress_;
  nlohmann::json last_;
  Coordinator coordinator_;
};

TEST_F(CoordinatorTest, WhoIsLostIsNamed) {
  coordinator_.OnLost(wire::Join::WORKER, 1, "killed");
  EXPECT_EQ(last_["event"], "lost");
  EXPECT_EQ(last_["role"], "worker");
  EXPECT_EQ(last_["rank"], 1);
  coordinator_.OnLost(wire::Join::SHARD, 1, "killed");
  EXPECT_EQ(last_["role"], "server");
}

TEST_F(CoordinatorTest, ResidualsAreToldWhereThereAreAny) {
  Report(0, std::nullopt, std::nullopt);
  ASSERT_EQ(progress_.size(), 1u);
  EXPECT_FALSE(progress_[0].contains("residual_norm_ratio"));
}

TEST_F(CoordinatorTest, TheResidualIsTheMeanOverWorkers) {
  Report(0, 1.0, 3.0);
  ASSERT_EQ(progress_.size(), 1u);
  EXPECT_EQ(progress_[0]["residual_norm_ratio"], 2.0);
  // What was not told anew stays what it was.
  Report(1, 5.0, std::nullopt);
  ASSERT_EQ(progress_.size(), 2u);
  EXPECT_EQ(progress_[1]["residual_norm_ratio"], 4.0);
}

}  // namespace
}  // namespace terse
