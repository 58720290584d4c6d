// With cluster.replicas a job that loses a server goes on with what another one
// keeps of it: nothing is computed twice, no disk is read, and the job ends
// with the bits of one that lost nothing.
#include <filesystem>
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
cluster: {servers: 3, workers: 3, rejoin_timeout_seconds: 20, replicas: 1}
)";

// Jobs whose servers keep every kind of state, and whose workers do.
std::vector<std::vector<std::string>> JobsWithState() {
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

Job MakeJob(const std::vector<std::string>& overrides) {
  const absl::StatusOr<Job> job = ParseJob(kJob, "replicas_test", overrides);
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
  EXPECT_EQ(result.worker_sha256, calm.worker_sha256);
  // Nobody has computed anything twice.
  EXPECT_EQ(result.steps, calm.steps);
}

TEST(ReplicasTest, MirroringChangesNothing) {
  for (const auto& overrides : JobsWithState()) {
    SCOPED_TRACE(overrides.empty() ? "" : overrides.back());
    Job job = MakeJob(overrides);
    const SimJobResult mirrored = RunJob(job);
    job.mutable_cluster()->set_replicas(0);
    ExpectSame(mirrored, RunJob(job));
  }
}

TEST(ReplicasTest, ALostServerCostsNoReplay) {
  for (const auto& overrides : JobsWithState()) {
    const Job job = MakeJob(overrides);
    const SimJobResult calm = RunJob(job);
    ASSERT_TRUE(calm.status.ok()) << calm.status;
    uint64_t under_way = 0;
    for (int part = 1; part <= 40; ++part) {
      SCOPED_TRACE(absl::StrCat(overrides.empty() ? "" : overrides.back(),
                                ", at ", part, "/40"));
      SimJobOptions options;
      options.network.seed = part;
      options.losses = {{.process = 1 + uint32_t(part) % 2,
                         .after = calm.seconds * absl::Seconds(1) * part / 40}};
      options.replace_after = absl::Milliseconds(300);
      options.moves = part % 4 < 2;
      const SimJobResult result = RunJob(job, options);
      if (!result.status.ok() && result.steps == 0) continue;
      ++under_way;
      ExpectSame(result, calm);
    }
    EXPECT_GE(under_way, 24u);
  }
}

TEST(ReplicasTest, OneAfterTheOtherMayBeLost) {
  const Job job = MakeJob({"clip.global_norm=0.5"});
  const SimJobResult calm = RunJob(job);
  for (int part = 6; part <= 16; ++part) {
    SCOPED_TRACE(part);
    SimJobOptions options;
    options.network.seed = part;
    for (uint32_t i = 0; i < 6; ++i) {
      options.losses.push_back(
          {.process = 1 + (part + i) % 2,
           .after = calm.seconds * absl::Seconds(1) * part / 20 +
                    absl::Milliseconds(900) * i});
    }
    options.replace_after = absl::Milliseconds(300);
    options.moves = true;
    ExpectSame(RunJob(job, options), calm);
  }
}

TEST(ReplicasTest, ACutWireToTheMirrorCostsNothing) {
  const Job job = MakeJob({});
  const SimJobResult calm = RunJob(job);
  for (int part = 4; part <= 16; ++part) {
    SCOPED_TRACE(part);
    SimJobOptions options;
    options.network.seed = part;
    // Shard 2 is mirrored at the coordinator, whom it needs otherwise too.
    options.troubles = {
        {.after = calm.seconds * absl::Seconds(1) * part / 16, .server = 1}};
    ExpectSame(RunJob(job, options), calm);
  }
}

TEST(ReplicasTest, APrimaryAndItsMirrorTogetherEndTheRun) {
  const Job job = MakeJob({});
  const SimJobResult calm = RunJob(job);
  SimJobOptions options;
  const absl::Duration after = calm.seconds * absl::Milliseconds(500);
  options.losses = {{.process = 1, .after = after},
                    {.process = 2, .after = after}};
  options.replace_after = absl::Milliseconds(300);
  const SimJobResult result = RunJob(job, options);
  EXPECT_EQ(ExitCodeOf(result.status), ExitCode::kPeerNeverCame);
  EXPECT_THAT(std::string(result.status.message()),
              HasSubstr("not all of it is mirrored"));
}

TEST(ReplicasTest, APlaceIsKeptForALimitedTime) {
  const Job job = MakeJob({});
  const SimJobResult calm = RunJob(job);
  SimJobOptions options;
  options.losses = {
      {.process = 2, .after = calm.seconds * absl::Milliseconds(500)}};
  const SimJobResult result = RunJob(job, options);
  EXPECT_EQ(ExitCodeOf(result.status), ExitCode::kPeerNeverCame);
  EXPECT_THAT(std::string(result.status.message()),
              HasSubstr("shard 2 was lost"));
  EXPECT_LT(result.seconds, 20 + 10);
}

TEST(ReplicasTest, CheckpointsAreGivenUpOrWhole) {
  const std::string folder = testing::TempDir() + "/replicas_test_checkpoints";
  const Job job =
      MakeJob({"checkpoint.every_steps=2", "checkpoint.keep_last=100",
               "compress.gradient={kind: topk, ratio: 0.05, "
               "error_feedback: true}"});
  SimJobOptions options;
  options.checkpoint_directory = folder + "/calm";
  std::filesystem::remove_all(folder);
  const SimJobResult calm = RunJob(job, options);
  ASSERT_TRUE(calm.status.ok()) << calm.status;
  for (int part = 4; part <= 20; ++part) {
    SCOPED_TRACE(part);
    options.checkpoint_directory = absl::StrCat(folder, "/", part);
    options.network.seed = part;
    options.losses = {{.process = 1 + uint32_t(part) % 2,
                       .after = calm.seconds * absl::Seconds(1) * part / 20}};
    options.replace_after = absl::Milliseconds(300);
    const SimJobResult result = RunJob(job, options);
    if (!result.status.ok() && result.steps == 0) continue;
    ExpectSame(result, calm);
    // The last is there, and none is broken.
    std::vector<std::string> passed_over;
    const auto last =
        NewestCheckpoint(options.checkpoint_directory, passed_over);
    ASSERT_TRUE(last.has_value());
    EXPECT_EQ(last->manifest.version, 12u);
    for (const auto& entry :
         std::filesystem::directory_iterator(options.checkpoint_directory)) {
      if (!std::filesystem::exists(entry.path() / "manifest.json")) continue;
      EXPECT_TRUE(ReadCheckpoint(entry.path().string()).ok()) << entry.path();
    }
  }
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace terse
