// What tests of simulated jobs share: a job that is to lose processes, a folder
// for checkpoints, and what the end of a job is compared with.
#ifndef TERSE_TESTS_SIM_FIXTURE_H_
#define TERSE_TESTS_SIM_FIXTURE_H_

#include <unistd.h>

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/checkpoint/checkpoint.h"
#include "common/config/job.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/sim/sim_job.h"

namespace terse {

// Three servers and three workers, with a place kept for 20 seconds.
inline constexpr char kLossyJob[] = R"(
name: sim
seed: 7
model: {mlp: {hidden: [40, 24], batch_norm: false}}
data: {kind: noise, shape: [1, 9, 9], train_samples: 1000, test_samples: 101}
train: {steps: 12, batch_size: 20, evaluate_every_epochs: 0}
quantize: {weights: bwn}
compress: {small_tensor_elements: 100, gradient: terngrad, down: weights}
cluster: {servers: 3, workers: 3, rejoin_timeout_seconds: 20}
)";

// Overrides of kLossyJob with which servers and workers keep every kind of
// state: momenta, residuals, factors, statistics, learned scales, replicas.
inline std::vector<std::vector<std::string>> JobsWithState() {
  return {
      {},
      {"compress.gradient={kind: topk, ratio: 0.05, error_feedback: true, "
       "momentum_correction: 0.9}",
       "quantize.weights={kind: dorefa, bits: 2}", "clip.global_norm=0.5"},
      {"quantize.weights=none", "compress.down=sum",
       "compress.gradient={kind: terngrad, scale: shared}",
       "optimizer.kind=adam"},
      {"quantize.weights=none", "compress.down=auto",
       "compress.gradient={kind: powersgd, error_feedback: true}",
       "optimizer.momentum=0.9"},
      {"quantize.weights=ttq", "optimizer.kind=adam", "clip.global_norm=0.5"},
      {"quantize.weights=ttq", "compress.gradient=none"},
      {"model.mlp.batch_norm=true", "train.evaluate_every_epochs=1",
       "train.batch_size=60", "quantize.weights=binaryconnect_stochastic",
       "clip.global_norm=0.5"}};
}

// A bad job fails the test, which goes on with an empty one.
inline Job JobOf(const std::string& yaml,
                 const std::vector<std::string>& overrides) {
  const absl::StatusOr<Job> job = ParseJob(yaml, "test", overrides);
  EXPECT_TRUE(job.ok()) << job.status();
  return job.ok() ? *job : Job();
}

// With a look at the deadlines often enough to find a loss within a step.
inline SimJobResult RunJob(const Job& job, SimJobOptions options = {}) {
  options.tick_ms = 20;
  return RunSimJob(job, options);
}

// `part` of the simulated time that `calm` took.
inline absl::Duration PartOf(const SimJobResult& calm, double part) {
  return calm.seconds * absl::Seconds(1) * part;
}

// A job ended with the bits of one that nothing happened to, and its workers
// computed at most `repeated_max` gradients twice.
inline void ExpectSame(const SimJobResult& result, const SimJobResult& calm,
                       uint64_t repeated_max = 0) {
  ASSERT_TRUE(result.status.ok()) << result.status;
  for (const char* what : {"weights_sha256", "test_accuracy", "test_loss"}) {
    EXPECT_EQ(result.report[what], calm.report[what]) << what;
  }
  EXPECT_EQ(result.worker_sha256, calm.worker_sha256);
  EXPECT_GE(result.steps, calm.steps);
  EXPECT_LE(result.steps, calm.steps + repeated_max);
}

// A job of kLossyJob that loses `process`, which nobody replaces, ends within
// the time that its place is kept, saying `message`.
inline void ExpectPlaceKeptForALimitedTime(const Job& job, uint32_t process,
                                           const std::string& message) {
  SimJobOptions options;
  options.losses = {{.process = process, .after = PartOf(RunJob(job), 0.5)}};
  const SimJobResult result = RunJob(job, options);
  EXPECT_EQ(ExitCodeOf(result.status), ExitCode::kPeerNeverCame);
  EXPECT_THAT(std::string(result.status.message()),
              testing::HasSubstr(message));
  EXPECT_LT(result.seconds, 20 + 10);
}

// A folder for checkpoints that is empty at first and gone at the end.
class WithFolder : public testing::Test {
 protected:
  WithFolder()
      : folder_(std::filesystem::path(testing::TempDir()) /
                absl::StrCat("terse-sim-", getpid())) {
    EmptyFolder();
  }
  ~WithFolder() override { EmptyFolder(); }

  void EmptyFolder() const { std::filesystem::remove_all(folder_); }

  std::optional<FoundCheckpoint> Newest() const {
    std::vector<std::string> passed_over;
    return NewestCheckpoint(folder_.string(), passed_over);
  }

  const std::filesystem::path folder_;
};

}  // namespace terse

#endif  // TERSE_TESTS_SIM_FIXTURE_H_
