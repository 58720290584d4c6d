// A job that goes on from a checkpoint ends with the bits of one that was never
// interrupted.
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "common/checkpoint/saved_state.h"
#include "tests/sim/fixture.h"

namespace terse {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

constexpr char kJob[] = R"(
name: sim
seed: 7
model: {mlp: {hidden: [40, 24], batch_norm: true}}
data: {kind: noise, shape: [1, 9, 9], train_samples: 1000, test_samples: 101}
train: {steps: 12, batch_size: 20, evaluate_every_epochs: 0}
compress: {small_tensor_elements: 100}
cluster: {servers: 2, workers: 3}
checkpoint: {every_steps: 5, keep_last: 100}
)";

struct Method {
  std::string name;
  std::vector<std::string> overrides;
};

std::vector<Method> Methods() {
  return {
      {"plain", {}},
      {"momentum_norm", {"optimizer.momentum=0.9", "clip.global_norm=0.5"}},
      {"terngrad_shared_sums_adam",
       {"compress.gradient={kind: terngrad, scale: shared}",
        "compress.down=sum", "optimizer.kind=adam"}},
      {"terngrad_shared_sums_momentum",
       {"compress.gradient={kind: terngrad, scale: shared}",
        "compress.down=sum", "optimizer.momentum=0.9",
        "optimizer.schedule={kind: cosine}"}},
      {"binaryconnect_terngrad_adam",
       {"quantize.weights=binaryconnect", "compress.gradient=terngrad",
        "optimizer.kind=adam"}},
      {"topk_feedback",
       {"compress.gradient={kind: topk, ratio: 0.05, error_feedback: true}"}},
      {"deep_gradient_compression",
       {"compress.gradient={kind: topk, ratio: 0.05, error_feedback: true, "
        "momentum_correction: 0.9}"}},
      {"low_rank",
       {"compress.gradient={kind: powersgd, error_feedback: true}",
        "optimizer.momentum=0.9"}},
      {"ttq_adam", {"quantize.weights=ttq", "optimizer.kind=adam"}},
      {"ttq_momentum_over_shards",
       {"quantize.weights=ttq", "optimizer.momentum=0.9",
        "model.mlp.hidden=[70]", "data.shape=[1, 64, 64]", "train.steps=7"}},
      {"rule_sr_binary",
       {"quantize.weights=binaryconnect", "quantize.rule=sr"}},
      {"stochastic_qsgd_evaluated",
       {"quantize.weights=binaryconnect_stochastic", "compress.gradient=qsgd",
        "train.batch_size=60", "train.evaluate_every_epochs=1"}},
  };
}

class ResumeTest : public WithFolder,
                   public testing::WithParamInterface<Method> {
 protected:
  static Job MakeJob(std::vector<std::string> more,
                     const std::vector<std::string>& method = {}) {
    more.insert(more.begin(), method.begin(), method.end());
    return JobOf(kJob, more);
  }

  SimJobResult Run(const Job& job, uint64_t seed,
                   std::optional<FoundCheckpoint> resume = std::nullopt,
                   std::optional<absl::Duration> stop = std::nullopt) {
    SimJobOptions options;
    options.network.seed = seed;
    options.tick_ms = 1;  // So that nothing due waits for the disk.
    options.checkpoint_directory = Directory();
    options.resume = std::move(resume);
    options.stop_after = stop;
    options.stop_with_checkpoint = stop.has_value();
    return RunSimJob(job, options);
  }
  std::string Directory() const { return folder_.string(); }
  std::string Version(uint64_t version) const {
    return Directory() + "/" + CheckpointFolderName(version);
  }
  static std::string Weights(const SimJobResult& result) {
    EXPECT_TRUE(result.status.ok()) << result.status;
    return result.report.value("weights_sha256", "no weights");
  }
};

TEST_P(ResumeTest, SameBitsFromEveryCheckpointWithAnyNumberOfServers) {
  const std::string expected =
      Weights(Run(MakeJob({}, GetParam().overrides), 1));
  for (const uint64_t version : {5, 10, 12}) {
    if (!fs::exists(Version(version))) continue;
    for (const int servers : {1, 2, 3}) {
      const absl::StatusOr<FoundCheckpoint> checkpoint =
          OpenCheckpoint(Version(version));
      ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
      const Job job = MakeJob({absl::StrCat("cluster.servers=", servers)},
                              GetParam().overrides);
      const SimJobResult result = Run(job, 100 + servers, *checkpoint);
      EXPECT_EQ(Weights(result), expected)
          << "version " << version << ", " << servers << " servers";
      EXPECT_EQ(result.report["first_step"], version);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Methods, ResumeTest, testing::ValuesIn(Methods()),
                         [](const auto& info) { return info.param.name; });

class StopTest : public ResumeTest {};

TEST_F(StopTest, AStoppedJobGoesOnToTheSameBits) {
  const std::vector<std::string> method = {
      "checkpoint.every_steps=0",
      "compress.gradient={kind: topk, ratio: 0.05, error_feedback: true}",
      "optimizer.momentum=0.9"};
  const std::string expected = Weights(Run(MakeJob({}, method), 1));
  int stopped = 0;
  for (int milliseconds = 110; milliseconds < 240; milliseconds += 10) {
    EmptyFolder();
    const SimJobResult first = Run(MakeJob({}, method), 1, std::nullopt,
                                   absl::Milliseconds(milliseconds));
    if (first.status.ok()) continue;  // The job had been faster.
    ++stopped;
    EXPECT_EQ(ExitCodeOf(first.status), ExitCode::kTerminated) << first.status;
    // A signal while the roles join ends the job at once.
    const SimJobResult second = Run(MakeJob({}, method), 2, Newest());
    EXPECT_EQ(Weights(second), expected) << milliseconds;
  }
  EXPECT_GT(stopped, 3);
}

TEST_F(StopTest, ADamagedCheckpointIsPassedOver) {
  Run(MakeJob({}), 1);
  const std::string path = Version(12) + "/shard-00001-of-00002.safetensors";
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekg(-3, std::ios::end);
  const char changed = file.get() ^ 1;
  file.seekp(-3, std::ios::end);
  file.put(changed);
  file.close();
  std::vector<std::string> passed_over;
  const auto found = NewestCheckpoint(Directory(), passed_over);
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->manifest.version, 10u);
  ASSERT_EQ(passed_over.size(), 1u);
  EXPECT_THAT(passed_over[0],
              HasSubstr("shard-00001-of-00002.safetensors is damaged"));
}

TEST_F(StopTest, AnotherJobsCheckpointIsRefused) {
  Run(MakeJob({}), 1);
  const auto checkpoint = OpenCheckpoint(Version(10));
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  const SimJobResult result =
      Run(MakeJob({"optimizer.learning_rate=0.5"}), 1, *checkpoint);
  EXPECT_EQ(ExitCodeOf(result.status), ExitCode::kBadJob);
  EXPECT_THAT(std::string(result.status.message()),
              HasSubstr("is of another job: it has \"learning_rate: 0.01\" "
                        "where this one has \"learning_rate: 0.5\""));
}

TEST_F(StopTest, AFullDiskEndsTheJobWithOneLineAndKeepsWhatThereWas) {
  // A file where the folder has to be, as root can write anywhere.
  fs::create_directories(folder_);
  std::ofstream(Version(12)) << "in the way";
  const SimJobResult result = Run(MakeJob({}), 1);
  EXPECT_EQ(ExitCodeOf(result.status), ExitCode::kDisk) << result.status;
  EXPECT_THAT(std::string(result.status.message()),
              HasSubstr("no checkpoint of step 12"));
  const auto found = Newest();
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->manifest.version, 10u);
}

TEST_F(StopTest, AnotherNumberOfWorkersTakesTheResiduals) {
  const std::vector<std::string> method = {
      "compress.gradient={kind: topk, ratio: 0.05, error_feedback: true}"};
  Run(MakeJob({}, method), 1);
  const auto checkpoint = OpenCheckpoint(Version(10));
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  for (const int workers : {1, 2, 4}) {
    const Job job =
        MakeJob({absl::StrCat("cluster.workers=", workers)}, method);
    const absl::StatusOr<Plan> plan = MakePlan(job);
    ASSERT_TRUE(plan.ok());
    const auto saved = SavedState::Open(*checkpoint);
    ASSERT_TRUE(saved.ok()) << saved.status();
    double before = 0;
    double after = 0;
    std::vector<float> values(plan->blocks[0].count);
    for (uint32_t w = 0; w < 3; ++w) {
      ASSERT_TRUE(
          saved->ReadWorker(w, PieceName("residual", *plan, 0), values).ok());
      for (const float value : values) before += value;
    }
    for (int w = 0; w < workers; ++w) {
      ASSERT_TRUE(saved->ReadKept(w, "residual", *plan, 0, values).ok());
      for (const float value : values) after += value;
    }
    EXPECT_NE(before, 0);
    EXPECT_NEAR(after, before, 1e-4);
    EXPECT_TRUE(Run(job, 3, *checkpoint).status.ok());
  }
}

}  // namespace
}  // namespace terse
