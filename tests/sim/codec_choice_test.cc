// `compress.gradient: auto` in the simulator: choices change the codec of a
// running job, and the same choices make the same bits.
#include <filesystem>
#include <string>

#include "common/cost/candidates.h"
#include "tests/sim/fixture.h"

namespace terse {
namespace {

constexpr char kJob[] = R"(
seed: 3
model: {mlp: [40, 30]}
data: {kind: noise, shape: [20]}
compress:
  gradient: auto
  small_tensor_elements: 0
  auto: {candidates: [none, "terngrad:scale=shared", "topk:ratio=0.1,error_feedback=true"], check_every_seconds: 1}
optimizer: {kind: sgd, learning_rate: 0.05, momentum: 0.9}
train: {steps: 40, batch_size: 10, evaluate_every_epochs: 0}
checkpoint: {every_seconds: 0}
cluster: {workers: 3, servers: 2}
)";

Job MakeJob(const std::vector<std::string>& overrides = {}) {
  return JobOf(kJob, overrides);
}

class CodecChoiceTest : public WithFolder {
 protected:
  SimJobOptions Options() {
    SimJobOptions options;
    options.network.seed = 5;
    options.checkpoint_directory = folder_.string();
    // Ternary gradients are said to be the cheapest.
    options.measure_work = [](const Job& job) -> absl::StatusOr<StepWork> {
      const bool ternary =
          job.compress().gradient().kind() == GradientCodec::TERNGRAD;
      return StepWork{.encode_ms = ternary ? 1.0 : 1e6};
    };
    return options;
  }
};

std::string Choices(const SimJobResult& result) {
  return result.report.contains("codecs") ? result.report["codecs"].dump() : "";
}

Job WithGiven(Job job,
              const std::vector<std::pair<uint64_t, const char*>>& choices) {
  for (const auto& [step, codec] : choices) {
    job = WithChoice(job, step, *ParseCodec(codec));
  }
  return job;
}

TEST_F(CodecChoiceTest, TheFastestIsTakenBeforeTheFirstStep) {
  const SimJobResult result = RunSimJob(MakeJob(), Options());
  ASSERT_TRUE(result.status.ok()) << result.status;
  EXPECT_TRUE(result.all_left);
  EXPECT_EQ(Choices(result), R"([{"codec":"terngrad:scale=shared","step":0}])");
  // The bits are those of the codec itself.
  const SimJobResult plain =
      RunSimJob(MakeJob({"compress.gradient={kind: terngrad, scale: shared}"}),
                Options());
  ASSERT_TRUE(plain.status.ok()) << plain.status;
  EXPECT_EQ(result.report["weights_sha256"], plain.report["weights_sha256"]);
}

TEST_F(CodecChoiceTest, ChoicesThatAreGivenAreMadeAtTheirSteps) {
  const Job job =
      WithGiven(MakeJob(), {{0, "none"},
                            {7, "topk:ratio=0.1,error_feedback=true"},
                            {25, "terngrad:scale=shared"}});
  const SimJobResult result = RunSimJob(job, Options());
  ASSERT_TRUE(result.status.ok()) << result.status;
  EXPECT_EQ(Choices(result),
            R"([{"codec":"none","step":0},)"
            R"({"codec":"topk:ratio=0.1,error_feedback=true","step":7},)"
            R"({"codec":"terngrad:scale=shared","step":25}])");
  const SimJobResult other =
      RunSimJob(MakeJob({"compress.gradient=none"}), Options());
  EXPECT_NE(result.report["weights_sha256"], other.report["weights_sha256"]);
  // Other servers, other delays, the same choices: the same bits.
  EmptyFolder();
  SimJobOptions options = Options();
  options.network.seed = 77;
  Job moved = job;
  moved.mutable_cluster()->set_servers(1);
  const SimJobResult again = RunSimJob(moved, options);
  ASSERT_TRUE(again.status.ok()) << again.status;
  EXPECT_EQ(result.report["weights_sha256"], again.report["weights_sha256"]);
}

// Factors need whole tensors as blocks: weights and residuals are cut anew.
TEST_F(CodecChoiceTest, ChoicesMayCutOtherBlocks) {
  const Job job =
      WithGiven(MakeJob(), {{0, "topk:ratio=0.1,error_feedback=true"},
                            {9, "powersgd:rank=1,error_feedback=true"},
                            {21, "topk:ratio=0.2,error_feedback=true"},
                            {30, "none"}});
  const SimJobResult result = RunSimJob(job, Options());
  ASSERT_TRUE(result.status.ok()) << result.status;
  EXPECT_EQ(result.report["codecs"].size(), 4) << Choices(result);
  EmptyFolder();
  Job moved = job;
  moved.mutable_cluster()->set_servers(3);
  const SimJobResult again = RunSimJob(moved, Options());
  ASSERT_TRUE(again.status.ok()) << again.status;
  EXPECT_EQ(result.report["weights_sha256"], again.report["weights_sha256"]);
}

TEST_F(CodecChoiceTest, AJobThatGoesOnMakesTheChoicesOfItsCheckpoint) {
  const Job job = WithGiven(MakeJob({"checkpoint.every_steps=10"}),
                            {{0, "terngrad:scale=shared"}, {7, "none"}});
  const SimJobResult whole = RunSimJob(job, Options());
  ASSERT_TRUE(whole.status.ok()) << whole.status;
  EmptyFolder();
  SimJobOptions options = Options();
  Job half = job;
  half.mutable_train()->set_steps(20);
  ASSERT_TRUE(RunSimJob(half, options).status.ok());
  options.resume = Newest();
  ASSERT_TRUE(options.resume.has_value());
  EXPECT_EQ(options.resume->manifest.version, 20);
  // The job file itself knows of no choices.
  const SimJobResult rest =
      RunSimJob(MakeJob({"checkpoint.every_steps=10",
                         "compress.auto.check_every_seconds=0"}),
                options);
  ASSERT_TRUE(rest.status.ok()) << rest.status;
  EXPECT_EQ(Choices(rest), Choices(whole));
  EXPECT_EQ(rest.report["weights_sha256"], whole.report["weights_sha256"]);
}

TEST_F(CodecChoiceTest, AFasterCodecIsTakenWhileTheJobRuns) {
  // The first choice was another machine's.
  const Job job = WithGiven(MakeJob({"train.steps=400"}), {{0, "none"}});
  const SimJobResult result = RunSimJob(job, Options());
  ASSERT_TRUE(result.status.ok()) << result.status;
  ASSERT_EQ(result.report["codecs"].size(), 2) << Choices(result);
  EXPECT_EQ(result.report["codecs"][1]["codec"], "terngrad:scale=shared");
  const uint64_t step = result.report["codecs"][1]["step"];
  EXPECT_GT(step, 0);
  // A replay of both choices makes the same bits.
  EmptyFolder();
  const SimJobResult replay = RunSimJob(
      WithGiven(
          MakeJob({"train.steps=400", "compress.auto.check_every_seconds=0"}),
          {{0, "none"}, {step, "terngrad:scale=shared"}}),
      Options());
  ASSERT_TRUE(replay.status.ok()) << replay.status;
  EXPECT_EQ(result.report["weights_sha256"], replay.report["weights_sha256"]);
}

TEST(CodecChoiceErrorTest, ItNeedsEveryWorkerAtOneStep) {
  const absl::StatusOr<Job> job =
      ParseJob(kJob, "test", {"cluster.mode=async"});
  ASSERT_FALSE(job.ok());
  EXPECT_NE(job.status().message().find("auto needs cluster.mode bsp"),
            absl::string_view::npos);
}

}  // namespace
}  // namespace terse
