// Checkpoints of jobs whose workers each have a clock of their own (SSP and
// async): the workers meet at the version that is kept, so that the cut has
// every step before it of every worker once, and no other.
#include <filesystem>
#include <string>
#include <vector>

#include "tests/sim/fixture.h"

namespace terse {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

// Updates are the gradients themselves; see WrongCounts.
constexpr char kJob[] = R"(
name: sim
seed: 7
model: {mlp: {hidden: [40, 24], batch_norm: true}}
data: {kind: noise, shape: [1, 9, 9], train_samples: 1000, test_samples: 101}
train: {steps: 23, batch_size: 20, evaluate_every_epochs: 0}
optimizer: {kind: sgd, learning_rate: 1}
compress: {small_tensor_elements: 100}
cluster: {servers: 2, workers: 4, mode: async, step_timeout_seconds: 5}
checkpoint: {every_steps: 5, keep_last: 100}
)";

const std::vector<std::vector<std::string>>& Modes() {
  static const auto& modes = *new std::vector<std::vector<std::string>>{
      {"cluster.mode=ssp", "cluster.staleness_steps_max=0"},
      {"cluster.mode=ssp", "cluster.staleness_steps_max=3"},
      {"cluster.mode=async"}};
  return modes;
}

class ClocksTest : public WithFolder {
 protected:
  static Job MakeJob(const std::vector<std::string>& overrides) {
    return JobOf(kJob, overrides);
  }

  // Counts steps, over unequal wires.
  static SimJobOptions Counting(uint64_t seed) {
    SimJobOptions options;
    options.network.seed = seed;
    options.network.slowness_max = 10;
    options.model.counts = true;
    return options;
  }

  SimJobResult Run(const Job& job, SimJobOptions options) const {
    options.tick_ms = 1;  // So that nothing due waits for the disk.
    options.checkpoint_directory = folder_.string();
    return RunSimJob(job, options);
  }

  std::vector<FoundCheckpoint> All() const {
    std::vector<FoundCheckpoint> all;
    for (const auto& entry : fs::directory_iterator(folder_)) {
      const auto checkpoint = OpenCheckpoint(entry.path().string());
      if (checkpoint.ok()) all.push_back(*checkpoint);
    }
    return all;
  }
};

TEST_F(ClocksTest, ACutHasEveryStepBeforeItOnceAndNoOther) {
  uint64_t kept = 0;
  for (const auto& mode : Modes()) {
    for (uint64_t seed = 1; seed <= 8; ++seed) {
      SCOPED_TRACE(absl::StrCat(mode.back(), ", network seed ", seed));
      EmptyFolder();
      std::vector<std::string> overrides = mode;
      overrides.push_back(absl::StrCat("cluster.servers=", 1 + seed % 3));
      const Job job = MakeJob(overrides);
      const SimJobResult result = Run(job, Counting(seed));
      ASSERT_TRUE(result.status.ok()) << result.status;
      for (const FoundCheckpoint& checkpoint : All()) {
        EXPECT_EQ(WrongCounts(job, checkpoint), "");
        EXPECT_EQ(checkpoint.manifest.updates, 4 * checkpoint.manifest.version);
        ++kept;
      }
    }
  }
  // Of versions 5, 10, 15, 20 and 23 each time, but for what falls due while
  // the one before is under way.
  EXPECT_GE(kept, Modes().size() * 8 * 5 - 6);
}

TEST_F(ClocksTest, NobodyBeginsTheStepBehindABarrierAlone) {
  // Once the fastest has come to version 5, the others have five steps to make.
  SimJobOptions options = Counting(3);
  const SimJobResult apart =
      Run(MakeJob({"checkpoint.every_steps=0"}), options);
  const SimJobResult together = Run(MakeJob({}), options);
  ASSERT_TRUE(apart.status.ok() && together.status.ok());
  EXPECT_GT(apart.lead_max, 5u);
  EXPECT_LE(together.lead_max, 5u);
}

// A worker alone has no others that its result could depend on.
TEST_F(ClocksTest, AWorkerAloneGoesOnToTheSameBits) {
  const std::vector<std::vector<std::string>> methods = {
      {"optimizer={kind: adam}", "compress.gradient=terngrad",
       "quantize.weights=binaryconnect"},
      {"optimizer={kind: sgd, momentum: 0.9, nesterov: true}",
       "compress.gradient={kind: topk, ratio: 0.05, error_feedback: true}"},
      {"optimizer={kind: sgd}",
       "compress.gradient={kind: topk, ratio: 0.05, error_feedback: true, "
       "momentum_correction: 0.9}"},
      {"optimizer={kind: adam}", "quantize.weights=binaryconnect_stochastic",
       "compress.gradient=qsgd", "train.batch_size=200",
       "train.evaluate_every_epochs=1"},
      {"optimizer={kind: adam}", "quantize.weights=ttq", "cluster.servers=1"},
      {"quantize.weights={kind: uniform, bits: 6, max: 0.5}",
       "quantize.rule=sr"}};
  for (const auto& method : methods) {
    SCOPED_TRACE(method.front());
    EmptyFolder();
    std::vector<std::string> overrides = {"cluster.workers=1"};
    overrides.insert(overrides.end(), method.begin(), method.end());
    const SimJobResult calm = Run(MakeJob(overrides), {});
    ASSERT_TRUE(calm.status.ok()) << calm.status;
    for (const FoundCheckpoint& checkpoint : All()) {
      for (const int servers : {1, 3}) {
        std::vector<std::string> more = overrides;
        if (method.back() != "cluster.servers=1") {
          more.push_back(absl::StrCat("cluster.servers=", servers));
        }
        SimJobOptions options;
        options.network.seed = 10 + servers;
        options.resume = checkpoint;
        const SimJobResult result = Run(MakeJob(more), options);
        ASSERT_TRUE(result.status.ok()) << result.status;
        EXPECT_EQ(result.report["first_step"], checkpoint.manifest.version);
        for (const char* what : {"weights_sha256", "test_loss"}) {
          EXPECT_EQ(result.report[what], calm.report[what])
              << what << " from " << checkpoint.manifest.version;
        }
      }
    }
  }
}

TEST_F(ClocksTest, ALostProcessEndsTheRunAndTheNextGoesOn) {
  uint32_t resumed = 0;
  for (const auto& mode : Modes()) {
    const Job job = MakeJob(mode);
    for (uint32_t process = 0; process < 6; ++process) {
      SCOPED_TRACE(absl::StrCat(mode.back(), ", process ", process));
      SimJobOptions options = Counting(process);
      const double seconds = Run(job, options).seconds;
      EmptyFolder();
      options.losses = {{.process = process,
                         .after = seconds * absl::Milliseconds(600),
                         .silent = process % 2 == 1}};
      const SimJobResult struck = Run(job, options);
      ASSERT_EQ(ExitCodeOf(struck.status), ExitCode::kPeerNeverCame)
          << struck.status;
      SimJobOptions again = Counting(100 + process);
      again.resume = Newest();
      resumed += again.resume.has_value();
      const SimJobResult result = Run(job, again);
      ASSERT_TRUE(result.status.ok()) << result.status;
      EXPECT_EQ(result.report["steps"], 23);
      ASSERT_EQ(Newest()->manifest.version, 23u);
      for (const FoundCheckpoint& checkpoint : All()) {
        EXPECT_EQ(WrongCounts(job, checkpoint), "");
      }
    }
  }
  EXPECT_GE(resumed, 12u);
}

TEST_F(ClocksTest, AStoppedJobIsKeptAndGoesOn) {
  uint32_t stopped = 0;
  for (const auto& mode : Modes()) {
    std::vector<std::string> overrides = mode;
    overrides.push_back("checkpoint.every_steps=0");
    const Job job = MakeJob(overrides);
    for (int milliseconds = 110; milliseconds < 260; milliseconds += 15) {
      SCOPED_TRACE(absl::StrCat(mode.back(), " after ", milliseconds, " ms"));
      EmptyFolder();
      SimJobOptions options = Counting(1);
      options.network.slowness_max = 1;
      options.stop_after = absl::Milliseconds(milliseconds);
      options.stop_with_checkpoint = true;
      const SimJobResult first = Run(job, options);
      if (first.status.ok()) continue;  // It was at its last steps.
      EXPECT_EQ(ExitCodeOf(first.status), ExitCode::kTerminated);
      SimJobOptions again = Counting(2);
      again.resume = Newest();
      stopped += again.resume.has_value();
      const SimJobResult second = Run(job, again);
      ASSERT_TRUE(second.status.ok()) << second.status;
      EXPECT_EQ(WrongCounts(job, *Newest()), "");
    }
  }
  EXPECT_GT(stopped, 9u);
}

TEST_F(ClocksTest, AnotherNumberOfWorkersGoesOn) {
  const std::vector<std::string> method = {
      "optimizer={kind: adam}",
      "compress.gradient={kind: topk, ratio: 0.05, error_feedback: true}"};
  ASSERT_TRUE(Run(MakeJob(method), {}).status.ok());
  const auto checkpoint =
      OpenCheckpoint(absl::StrCat(folder_.string(), "/step-000000000010"));
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  for (const int workers : {1, 3, 5}) {
    std::vector<std::string> overrides = method;
    overrides.push_back(absl::StrCat("cluster.workers=", workers));
    SimJobOptions options;
    options.resume = *checkpoint;
    const SimJobResult result = Run(MakeJob(overrides), options);
    ASSERT_TRUE(result.status.ok()) << result.status;
    EXPECT_EQ(Newest()->manifest.updates, 10u * 4 + 13 * workers);
  }
}

TEST_F(ClocksTest, AnotherModeIsAnotherJob) {
  ASSERT_TRUE(Run(MakeJob({}), {}).status.ok());
  SimJobOptions options;
  options.resume = Newest();
  const SimJobResult result = Run(MakeJob({"cluster.mode=bsp"}), options);
  EXPECT_EQ(ExitCodeOf(result.status), ExitCode::kBadJob);
  EXPECT_THAT(std::string(result.status.message()),
              HasSubstr("is of another job"));
}

}  // namespace
}  // namespace terse
