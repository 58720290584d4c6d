#include "server/coordinator.h"

#include <string>
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

wire::Ready Data() {
  wire::Ready ready;
  ready.set_train_samples(160);
  ready.set_test_samples(20);
  return ready;
}

class CoordinatorTest : public testing::Test {
 protected:
  CoordinatorTest()
      : job_(*ParseJob(kJob, "coordinator_test", {})),
        plan_(*MakePlan(job_)),
        coordinator_(job_, plan_, 0, [this](const nlohmann::json& event) {
          if (event["event"] == "progress") progress_.push_back(event);
          last_ = event;
        }) {
    EXPECT_TRUE(coordinator_.OnReady(0, Data()).ok());
    const auto timeline = coordinator_.OnReady(1, Data());
    EXPECT_TRUE(timeline.ok());
    timeline_ = **timeline;
    coordinator_.OnStart(now_);
  }

  // What one that has the end of a job is told, and how it reports that.
  nlohmann::json Finish(Coordinator& coordinator) {
    wire::EvaluationReport evaluation;
    evaluation.set_samples(10);
    evaluation.set_correct(9);
    wire::Digests digests;
    for (uint32_t b = 0; b < plan_.blocks.size(); ++b) {
      if (plan_.IsBuffer(plan_.blocks[b].tensor)) continue;
      wire::Digests::Record& record = *digests.add_records();
      record.set_block(b);
      record.set_sha256(std::string(32, 'x'));
    }
    EXPECT_TRUE(coordinator.OnDigests(0, digests).ok());
    for (uint32_t worker = 0; worker < 2; ++worker) {
      EXPECT_FALSE(coordinator.Complete());
      EXPECT_TRUE(coordinator.OnEvaluation(now_, worker, 5, evaluation).ok());
      // Worker 1 took another's place for the last step.
      wire::Goodbye goodbye;
      goodbye.set_steps(worker == 0 ? 5 : 1);
      goodbye.mutable_times_total()->set_total_ns(goodbye.steps() * 2'000'000);
      coordinator.OnGoodbye(worker, goodbye);
    }
    EXPECT_TRUE(coordinator.Complete());
    return coordinator.Finish(now_);
  }

  // Both workers report `step`, a second after the last.
  void Report(uint64_t step, std::optional<double> first,
              std::optional<double> second,
              Coordinator* coordinator = nullptr) {
    if (coordinator == nullptr) coordinator = &coordinator_;
    now_ += absl::Seconds(1);
    uint32_t worker = 0;
    for (const std::optional<double>& ratio : {first, second}) {
      wire::StepReport report;
      report.set_samples(8);
      report.set_loss_sum(8);
      report.set_bytes_sent(100 * (step + 1));
      report.set_bytes_received(10 * (step + 1));
      if (ratio) report.set_residual_norm_ratio(*ratio);
      coordinator->OnStepReport(now_, worker++, step, report);
    }
  }

  const Job job_;
  const Plan plan_;
  absl::Time now_ = absl::UnixEpoch();
  std::vector<nlohmann::json> progress_;
  nlohmann::json last_;
  Timeline timeline_;
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

// Steps that its mirror was told of count once, others as if it had been there.
TEST_F(CoordinatorTest, AnotherProcessGoesOnWithItsState) {
  for (uint64_t step = 0; step < 3; ++step) {
    Report(step, std::nullopt, std::nullopt);
  }
  // Another process has worker 1's rank, and counts its bytes from zero.
  coordinator_.OnReturn(1, /*replaced=*/true);
  wire::JobState state;
  coordinator_.AddState(now_, state);
  EXPECT_EQ(state.steps(), 3u);
  Coordinator other(job_, plan_, 0, [](const nlohmann::json&) {});
  ASSERT_TRUE(other.Restore(now_, timeline_, state).ok());
  EXPECT_EQ(other.step(), 3u);
  EXPECT_TRUE(other.HasReported(0, 2));
  EXPECT_FALSE(other.HasReported(0, 3));
  for (Coordinator* coordinator : {&coordinator_, &other}) {
    now_ = absl::UnixEpoch() + absl::Seconds(10);
    for (uint64_t step = 2; step < 5; ++step) {
      Report(step, std::nullopt, std::nullopt, coordinator);
    }
    EXPECT_EQ(coordinator->step(), 5u);
  }
  const nlohmann::json report = Finish(other);
  EXPECT_EQ(report, Finish(coordinator_));
  EXPECT_EQ(report["wire_bytes_up"], 300);  // Goodbyes told of none.
  EXPECT_EQ(report["wire_bytes_down"], 30);
  EXPECT_EQ(report["time_ms"]["total"], 2);  // Of a step that was taken.
}

TEST_F(CoordinatorTest, ReductionsAndEvaluationsAreInItsState) {
  const Job job = *ParseJob(kJob, "coordinator_test",
                            {"cluster.servers=2", "cluster.replicas=1"});
  const Plan plan = *MakePlan(job);
  Coordinator first(job, plan, 0, [](const nlohmann::json&) {});
  ASSERT_TRUE(first.OnReady(0, Data()).ok());
  ASSERT_TRUE(first.OnReady(1, Data()).ok());
  first.OnStart(now_);
  uint64_t changes = first.changes();
  const auto changed = [&] {
    return std::exchange(changes, first.changes()) != changes;
  };
  wire::BlockStatistics part;
  part.set_kind(wire::BlockStatistics::GRADIENT_NORM);
  const ReductionScope scope = ScopeOf(plan, part.kind(), 0);
  for (uint32_t i = 0; i < scope.block_count; ++i) {
    auto& record = *part.add_records();
    record.set_block(scope.first_block + i);
    record.set_sum(i + 1);
  }
  const auto merged = first.OnReduce(1, part);
  ASSERT_TRUE(merged.ok() && *merged);
  EXPECT_TRUE(changed());
  EXPECT_FALSE(changed());
  wire::EvaluationReport evaluation;
  evaluation.set_samples(10);
  evaluation.set_correct(7);
  const uint64_t version = timeline_.steps_total;
  ASSERT_TRUE(first.OnEvaluation(now_, 0, version, evaluation).ok());
  EXPECT_FALSE(changed());  // The other one's is still to come, again.
  ASSERT_TRUE(first.OnEvaluation(now_, 1, version, evaluation).ok());
  EXPECT_TRUE(changed());

  wire::JobState state;
  first.AddState(now_, state);
  Coordinator other(job, plan, 0, [](const nlohmann::json&) {});
  ASSERT_TRUE(other.Restore(now_, timeline_, state).ok());
  EXPECT_EQ(other.AccuracyOf(version), 0.7);
  // A single block asks; what it came to is known.
  part.mutable_records()->DeleteSubrange(1, part.records_size() - 1);
  const auto again = other.OnReduce(1, part);
  ASSERT_TRUE(again.ok() && *again);
  EXPECT_EQ((*again)->SerializeAsString(), (*merged)->SerializeAsString());
}

TEST_F(CoordinatorTest, AStateOfAnotherJobIsRefused) {
  wire::JobState state;
  coordinator_.AddState(now_, state);
  wire::JobState later = state;
  later.set_steps(6);
  wire::JobState fewer = state;
  fewer.add_evaluations()->add_parts();
  for (const wire::JobState& bad : {later, fewer}) {
    Coordinator other(job_, plan_, 0, [](const nlohmann::json&) {});
    EXPECT_EQ(other.Restore(now_, timeline_, bad).code(),
              absl::StatusCode::kDataLoss);
  }
}

TEST_F(CoordinatorTest, OnlyVersionsOfTheJobAreEvaluated) {
  wire::EvaluationReport report;
  EXPECT_TRUE(coordinator_.OnEvaluation(now_, 0, 5, report).ok());
  for (const uint64_t version : {6, 10, 1 << 30}) {
    EXPECT_TRUE(absl::IsInvalidArgument(
        coordinator_.OnEvaluation(now_, 0, version, report)))
        << version;
  }
}

TEST_F(CoordinatorTest, DigestsAreOfTheSendersBlocksAndWhole) {
  wire::Digests digests;
  wire::Digests::Record* const record = digests.add_records();
  record->set_sha256(std::string(32, 'x'));
  EXPECT_TRUE(absl::IsInvalidArgument(coordinator_.OnDigests(1, digests)));
  EXPECT_TRUE(coordinator_.OnDigests(0, digests).ok());
  record->set_sha256(std::string(33, 'x'));
  EXPECT_TRUE(absl::IsDataLoss(coordinator_.OnDigests(0, digests)));
  record->set_block(static_cast<uint32_t>(plan_.blocks.size()));
  EXPECT_TRUE(absl::IsInvalidArgument(coordinator_.OnDigests(0, digests)));
}

TEST_F(CoordinatorTest, StatisticsAreOfTheSendersBlocksAndOfNow) {
  wire::BlockStatistics part;
  part.add_records()->set_block(0);
  for (const uint64_t version : {5, 6, 7, 8, 9}) {
    EXPECT_TRUE(coordinator_.CheckPart(0, 7, version, part).ok()) << version;
  }
  for (const uint64_t version : {0, 4, 10, 1 << 30}) {
    EXPECT_TRUE(
        absl::IsInvalidArgument(coordinator_.CheckPart(0, 7, version, part)))
        << version;
  }
  EXPECT_TRUE(absl::IsInvalidArgument(coordinator_.CheckPart(1, 7, 7, part)));
  // While version 0 is being made.
  EXPECT_TRUE(coordinator_.CheckPart(0, uint64_t{0} - 1, 0, part).ok());
}

}  // namespace
}  // namespace terse
