// A job that loses a worker, or a wire, in the middle of a step goes on where
// it is, and ends with the bits of one that lost nothing.
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/config/job.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/sim/sim_job.h"

namespace terse {
namespace {

using ::testing::HasSubstr;

constexpr char kJob[] = R"(
name: sim
seed: 7
model: {mlp: {hidden: [40, 24], batch_norm: false}}
data: {kind: noise, shape: [1, 9, 9], train_samples: 1000, test_samples: 101}
train: {steps: 12, batch_size: 20, evaluate_every_epochs: 0}
quantize: {weights: bwn}
compress: {small_tensor_elements: 100, gradient: terngrad, down: weights}
cluster: {servers: 3, workers: 3, rejoin_timeout_seconds: 20}
)";

// Jobs whose workers keep residuals, momenta, statistics, factors, replicas.
std::vector<std::vector<std::string>> JobsWithState() {
  return {{},
          {"compress.gradient={kind: topk, ratio: 0.05, error_feedback: true, "
           "momentum_correction: 0.9}"},
          {"quantize.weights=none", "compress.down=sum",
           "compress.gradient={kind: terngrad, scale: shared}",
           "optimizer.kind=adam"},
          {"quantize.weights=none", "compress.down=auto",
           "compress.gradient={kind: powersgd, error_feedback: true}",
           "optimizer.momentum=0.9"},
          {"model.mlp.batch_norm=true", "train.evaluate_every_epochs=1",
           "train.batch_size=60", "quantize.weights=binaryconnect_stochastic",
           "clip.global_norm=0.5"}};
}

Job MakeJob(std::vector<std::string> overrides) {
  const absl::StatusOr<Job> job = ParseJob(kJob, "rejoin_test", overrides);
  TERSE_CHECK(job.ok());
  return *job;
}

SimJobResult RunJob(const Job& job, const SimJobOptions& options = {}) {
  SimJobOptions faster = options;
  faster.tick_ms = 20;
  return RunSimJob(job, faster);
}

void ExpectSame(const SimJobResult& result, const SimJobResult& calm) {
  ASSERT_TRUE(result.status.ok()) << result.status;
  for (const char* what : {"weights_sha256", "test_accuracy", "test_loss"}) {
    EXPECT_EQ(result.report[what], calm.report[what]) << what;
  }
}

TEST(RejoinTest, ACutWireCostsNothing) {
  for (const auto& overrides : JobsWithState()) {
    const Job job = MakeJob(overrides);
    const SimJobResult calm = RunJob(job);
    ASSERT_TRUE(calm.status.ok()) << calm.status;
    uint64_t under_way = 0;
    for (int part = 1; part <= 16; ++part) {
      SCOPED_TRACE(absl::StrCat(overrides.empty() ? "" : overrides.back(),
                                ", at ", part, "/16"));
      SimJobOptions options;
      options.network.seed = part;
      for (uint32_t w = 0; w < 3; ++w) {
        options.troubles.push_back(
            {w, (w + part) % 3,
             calm.seconds * absl::Seconds(1) * (part + 0.1 * w) / 16});
      }
      const SimJobResult cut = RunJob(job, options);
      if (!cut.status.ok() && cut.steps == 0) continue;  // Before the start.
      ++under_way;
      ExpectSame(cut, calm);
      // Nobody has computed anything twice.
      EXPECT_EQ(cut.steps, calm.steps);
    }
    EXPECT_GE(under_way, 8u);
  }
}

// Each worker is lost in turn, at one of 24 moments.
void ExpectReplacements(const std::vector<std::string>& overrides) {
  const Job job = MakeJob(overrides);
  const SimJobResult calm = RunJob(job);
  uint64_t replaced = 0;
  for (int part = 1; part <= 24; ++part) {
    SCOPED_TRACE(part);
    SimJobOptions options;
    options.network.seed = part;
    options.losses = {{.process = 3 + uint32_t(part) % 3,
                       .after = calm.seconds * absl::Seconds(1) * part / 24}};
    options.replace_after = absl::Milliseconds(300);
    const SimJobResult result = RunJob(job, options);
    // Before the start there is nothing to wait with, at the end nobody to.
    if (!result.status.ok()) {
      EXPECT_EQ(ExitCodeOf(result.status), ExitCode::kPeerNeverCame);
      continue;
    }
    ExpectSame(result, calm);
    EXPECT_LE(result.steps, calm.steps + 1);
    ++replaced;
  }
  EXPECT_GE(replaced, 12u);
}

TEST(RejoinTest, AReplacementRepeatsTheStepAndNobodyElseDoes) {
  ExpectReplacements({});
}

// Which the tests of the network depend on.
TEST(RejoinTest, AReplacementHasTheStatisticsOfItsRank) {
  ExpectReplacements({"model.mlp.batch_norm=true"});
  ExpectReplacements({"model.mlp.batch_norm=true", "train.batch_size=60",
                      "train.evaluate_every_epochs=1"});
}

TEST(RejoinTest, ARankWithStateHasNoReplacement) {
  const Job job = MakeJob(
      {"compress.gradient={kind: topk, ratio: 0.05, error_feedback: true}"});
  const SimJobResult calm = RunJob(job);
  SimJobOptions options;
  options.losses = {
      {.process = 4, .after = calm.seconds * absl::Milliseconds(500)}};
  options.replace_after = absl::Milliseconds(300);
  const SimJobResult result = RunJob(job, options);
  EXPECT_EQ(ExitCodeOf(result.status), ExitCode::kPeerNeverCame);
  EXPECT_THAT(std::string(result.status.message()),
              HasSubstr("with what it keeps"));
}

TEST(RejoinTest, ARankIsKeptForALimitedTime) {
  const Job job = MakeJob({});
  const SimJobResult calm = RunJob(job);
  SimJobOptions options;
  options.losses = {
      {.process = 4, .after = calm.seconds * absl::Milliseconds(500)}};
  const SimJobResult result = RunJob(job, options);
  EXPECT_EQ(ExitCodeOf(result.status), ExitCode::kPeerNeverCame);
  EXPECT_THAT(std::string(result.status.message()),
              HasSubstr("worker 1 was lost"));
  EXPECT_LT(result.seconds, 20 + 10);
}

TEST(RejoinTest, ASecondClaimOfARankIsRefused) {
  const Job job = MakeJob({});
  const SimJobResult calm = RunJob(job);
  SimJobOptions options;
  options.claim_after = calm.seconds * absl::Milliseconds(500);
  const SimJobResult result = RunJob(job, options);
  ExpectSame(result, calm);
  EXPECT_THAT(std::string(result.claimant.message()),
              HasSubstr("worker 0 has joined already"));
}

}  // namespace
}  // namespace terse
