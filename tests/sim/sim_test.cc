// Whole jobs over the simulated network. BSP jobs must end with the same bits
// whatever the delays, the order of starting, the number of shards and the
// transport.
#include <algorithm>
#include <limits>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "tests/sim/fixture.h"
#include "worker/local_job.h"

namespace terse {
namespace {

// Small tensors, so that shards hold parts of one; every kind of quantizer and
// of codec that carries state or statistics.
constexpr char kJob[] = R"(
name: sim
seed: 7
model: {mlp: {hidden: [40, 24], batch_norm: true}}
data: {kind: noise, shape: [1, 9, 9], train_samples: 1000, test_samples: 101}
quantize: {ends: quantized}
train: {steps: 7, batch_size: 20, evaluate_every_epochs: 0}
cluster: {servers: 1, workers: 3}
)";

Job MakeJob(const std::vector<std::string>& overrides) {
  return JobOf(kJob, overrides);
}

struct Method {
  std::string name;
  std::vector<std::string> overrides;
};

std::vector<Method> Methods() {
  return {
      {"plain", {}},
      {"momentum_norm",
       {"optimizer.momentum=0.9", "optimizer.nesterov=true",
        "clip.global_norm=0.5", "clip.value=0.3"}},
      {"binaryconnect_terngrad",
       {"quantize.weights=binaryconnect", "compress.gradient=terngrad",
        "compress.small_tensor_elements=100", "optimizer.kind=adam"}},
      {"stochastic_qsgd",
       {"quantize.weights=binaryconnect_stochastic", "compress.gradient=qsgd",
        "compress.small_tensor_elements=0"}},
      {"dorefa_norm",
       {"quantize.weights={kind: dorefa, bits: 2}",
        "compress.gradient={kind: dorefa, bits: 4}", "clip.global_norm=0.1"}},
      {"dorefa1", {"quantize.weights={kind: dorefa, bits: 1}"}},
      {"bwn_centered",
       {"quantize.weights={kind: bwn, paper_gradient: true, center: true}"}},
      {"twn", {"quantize.weights=twn"}},
      {"uniform", {"quantize.weights={kind: uniform, bits: 4}"}},
      {"logarithmic", {"quantize.weights={kind: logarithmic, bits: 5}"}},
      {"balanced", {"quantize.weights={kind: balanced, bits: 2}"}},
      {"term", {"quantize.weights={kind: term, bits: 6, group: 4, terms: 6}"}},
      {"flexpoint", {"quantize.weights={kind: flexpoint, bits: 5}"}},
      {"pwlq", {"quantize.weights={kind: pwlq, bits: 4}"}},
      {"ttq_adam_norm",
       {"quantize.weights=ttq", "optimizer.kind=adam", "clip.global_norm=0.5"}},
      {"ttq_momentum", {"quantize.weights=ttq", "optimizer.momentum=0.9"}},
      {"rule_r",
       {"quantize.weights={kind: uniform, bits: 8, max: 0.5}",
        "quantize.rule=r"}},
      {"rule_sr",
       {"quantize.weights={kind: uniform, bits: 6, max: 0.5}",
        "quantize.rule=sr"}},
      {"rule_sr_binary",
       {"quantize.weights=binaryconnect", "quantize.rule=sr",
        "optimizer.kind=adam"}},
      // Tensors that lie on several shards.
      {"ttq_over_shards",
       {"quantize.weights=ttq", "model.mlp.hidden=[70]", "train.steps=3",
        "data.shape=[1, 64, 64]", "optimizer.momentum=0.9"}},
      {"pwlq_over_shards",
       {"quantize.weights={kind: pwlq, bits: 3}", "model.mlp.hidden=[70]",
        "data.shape=[1, 64, 64]", "train.steps=3"}},
      {"rule_sr_over_shards",
       {"quantize.weights={kind: uniform, bits: 6, max: 0.5}",
        "quantize.rule=sr", "model.mlp.hidden=[70]", "data.shape=[1, 64, 64]",
        "train.steps=3"}},
      {"mixed_bits",
       {"quantize.weights={kind: dorefa, bits: 3}",
        "quantize.rules=[{match: fc2.*, weights: {kind: ttq}}, "
        "{match: fc3.*, weights: {kind: pwlq, bits: 3}}]"}},
      {"topk_feedback",
       {"compress.gradient={kind: topk, ratio: 0.05, error_feedback: true}",
        "compress.small_tensor_elements=0"}},
      {"evaluations",
       {"train.evaluate_every_epochs=1", "train.steps=40",
        "quantize.weights=binaryconnect_stochastic"}},
  };
}

class BspJobTest : public testing::TestWithParam<Method> {
 protected:
  static SimJobResult Run(uint64_t seed, std::vector<std::string> more) {
    std::vector<std::string> overrides = GetParam().overrides;
    overrides.insert(overrides.end(), more.begin(), more.end());
    SimJobOptions options;
    options.network.seed = seed;
    SimJobResult result = RunSimJob(MakeJob(overrides), options);
    EXPECT_TRUE(result.status.ok())
        << result.status << " (network seed " << seed << ")";
    return result;
  }
};

TEST_P(BspJobTest, SameBitsWhateverTheDelays) {
  const SimJobResult first = Run(1, {});
  ASSERT_EQ(first.report.value("weights_sha256", "").size(), 64u);
  for (uint64_t seed = 2; seed <= 10; ++seed) {
    const SimJobResult other = Run(seed, {});
    ASSERT_EQ(other.report["weights_sha256"], first.report["weights_sha256"])
        << "network seed " << seed;
    ASSERT_EQ(other.report["train_loss"], first.report["train_loss"]);
    ASSERT_EQ(other.report["test_loss"], first.report["test_loss"]);
  }
}

TEST_P(BspJobTest, SameBitsWithAnyNumberOfServers) {
  const SimJobResult one = Run(1, {});
  for (int servers : {2, 3, 5}) {
    const SimJobResult more =
        Run(100 + servers, {absl::StrCat("cluster.servers=", servers)});
    ASSERT_EQ(more.report["weights_sha256"], one.report["weights_sha256"])
        << servers << " servers";
    ASSERT_EQ(more.report["test_loss"], one.report["test_loss"]);
  }
}

TEST_P(BspJobTest, SameBitsOverMemory) {
  const SimJobResult simulated = Run(1, {});
  const Job job = MakeJob([] {
    std::vector<std::string> overrides = GetParam().overrides;
    overrides.push_back("cluster.servers=2");
    return overrides;
  }());
  const absl::StatusOr<nlohmann::json> report = RunLocalJob(
      job, {.make_model = [](const Job& job, const Plan& plan, uint32_t rank) {
        return std::make_unique<SimModel>(job, plan, rank, SimModelOptions{});
      }});
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ((*report)["weights_sha256"], simulated.report["weights_sha256"]);
}

TEST_P(BspJobTest, AnotherSeedGivesOtherBits) {
  EXPECT_NE(Run(1, {"seed=8"}).report["weights_sha256"],
            Run(1, {}).report["weights_sha256"]);
}

INSTANTIATE_TEST_SUITE_P(Methods, BspJobTest, testing::ValuesIn(Methods()),
                         [](const auto& info) { return info.param.name; });

TEST(SimJobTest, TrainingApproachesTheTarget) {
  SimJobOptions options;
  const SimJobResult result = RunSimJob(
      MakeJob({"train.steps=200", "optimizer.learning_rate=0.1"}), options);
  ASSERT_TRUE(result.status.ok()) << result.status;
  double first_loss = 0;
  for (const nlohmann::json& event : result.events) {
    if (event["event"] == "progress") {
      first_loss = event["train_loss"];
      break;
    }
  }
  EXPECT_LT(result.report["train_loss"].get<double>(), first_loss / 20);
}

TEST(SimJobTest, EvaluationIsExactOverTheTestSet) {
  SimJobOptions options;
  const SimJobResult result = RunSimJob(MakeJob({}), options);
  ASSERT_TRUE(result.status.ok()) << result.status;
  std::vector<nlohmann::json> evaluations;
  for (const nlohmann::json& event : result.events) {
    if (event["event"] == "evaluation") evaluations.push_back(event);
  }
  ASSERT_FALSE(evaluations.empty());
  EXPECT_EQ(evaluations.back()["test_samples"], 101);
}

TEST(SimJobTest, NobodyLeavesBeforeThereIsAReport) {
  SimJobOptions options;
  const SimJobResult result =
      RunSimJob(MakeJob({"cluster.servers=2"}), options);
  ASSERT_TRUE(result.status.ok()) << result.status;
  ASSERT_FALSE(result.report.is_null());
  EXPECT_EQ(result.ended_before_report, 0);
}

TEST(SimJobTest, ServersAndWorkerZeroTellWhatTheySee) {
  SimJobOptions options;
  const SimJobResult result =
      RunSimJob(MakeJob({"cluster.servers=2", "train.steps=25"}), options);
  ASSERT_TRUE(result.status.ok()) << result.status;
  std::set<std::string> kinds;
  std::set<uint64_t> steps;
  bool training = false;
  for (const nlohmann::json& event : result.events) {
    if (event["event"] == "workers") {
      training |= event["workers"][1]["step"] == 25;
    }
    if (event["event"] != "observation") continue;
    steps.insert(event["step"].get<uint64_t>());
    for (const nlohmann::json& tensor : event["tensors"]) {
      for (const auto& [key, value] : tensor.items()) kinds.insert(key);
    }
  }
  EXPECT_EQ(steps, (std::set<uint64_t>{0, 10, 20}));
  EXPECT_TRUE(training);
  for (const char* kind :
       {"gradient", "sent", "weights", "shadow_weights", "bits_per_element"}) {
    EXPECT_TRUE(kinds.contains(kind)) << kind;
  }
}

TEST(SimJobTest, SspKeepsItsBoundAndAsyncUsesItsFreedom) {
  SimJobOptions options;
  options.network.slowness_max = 10;
  uint64_t async_lead_max = 0;
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    options.network.seed = seed;
    const SimJobResult ssp =
        RunSimJob(MakeJob({"cluster.mode=ssp", "cluster.staleness_steps_max=2",
                           "train.steps=50", "cluster.servers=2"}),
                  options);
    ASSERT_TRUE(ssp.status.ok()) << ssp.status << " seed " << seed;
    EXPECT_LE(ssp.lead_max, 2u) << "seed " << seed;
    EXPECT_GE(ssp.lead_max, 1u) << "seed " << seed;
    const SimJobResult async = RunSimJob(
        MakeJob({"cluster.mode=async", "train.steps=50", "cluster.servers=2"}),
        options);
    ASSERT_TRUE(async.status.ok()) << async.status << " seed " << seed;
    async_lead_max = std::max(async_lead_max, async.lead_max);
  }
  // Where a drawn seed makes all connections alike, nobody gets ahead.
  EXPECT_GT(async_lead_max, 10u);
}

TEST(SimJobTest, SspAndAsyncConverge) {
  for (const char* mode : {"ssp", "async"}) {
    SimJobOptions options;
    const SimJobResult result =
        RunSimJob(MakeJob({absl::StrCat("cluster.mode=", mode),
                           "train.steps=200", "optimizer.learning_rate=0.05"}),
                  options);
    ASSERT_TRUE(result.status.ok()) << result.status;
    EXPECT_LT(result.report["test_loss"].get<double>(), 10) << mode;
  }
}

TEST(SimJobTest, StatisticsOverServersNeedBsp) {
  SimJobOptions options;
  const SimJobResult result =
      RunSimJob(MakeJob({"cluster.mode=async", "cluster.servers=2",
                         "clip.global_norm=1"}),
                options);
  EXPECT_EQ(ExitCodeOf(result.status), ExitCode::kBadJob) << result.status;
}

TEST(SimJobTest, TooFewSamplesForAStepIsABadJob) {
  SimJobOptions options;
  options.model.train_samples = 50;
  const SimJobResult result = RunSimJob(MakeJob({}), options);
  EXPECT_EQ(ExitCodeOf(result.status), ExitCode::kBadJob) << result.status;
}

TEST(SimJobTest, AStoppedJobEndsAtOnceWhereverItStands) {
  // While some have not started, while they join, while they train.
  int trained = 0;
  int joining = 0;
  int unstarted = 0;
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    SimJobOptions options;
    options.network.seed = seed;
    options.stop_after = absl::Milliseconds(seed * 5);
    const SimJobResult result =
        RunSimJob(MakeJob({absl::StrCat("cluster.servers=", 1 + seed % 3),
                           "train.steps=10000"}),
                  options);
    EXPECT_TRUE(result.all_left) << "seed " << seed;
    EXPECT_LT(result.seconds, 0.005 * seed + 0.5) << "seed " << seed;
    if (result.status.ok()) {
      ++unstarted;  // It was stopped before its first role started.
      continue;
    }
    // The reason reaches everybody before the end of a connection does.
    EXPECT_EQ(ExitCodeOf(result.status), ExitCode::kTerminated)
        << result.status << " seed " << seed;
    const bool started = std::any_of(
        result.events.begin(), result.events.end(),
        [](const auto& event) { return event["event"] == "start"; });
    ++(started ? trained : joining);
  }
  EXPECT_GT(trained, 5);
  EXPECT_GT(joining, 5);
  EXPECT_LT(unstarted, 10);
}

TEST(SimJobTest, ALostWorkerEndsTheJobAsALostPeer) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    SimJobOptions options;
    options.network.seed = seed;
    options.lose_worker_after = absl::Milliseconds(200);
    const SimJobResult result =
        RunSimJob(MakeJob({"cluster.servers=2", "train.steps=10000"}), options);
    EXPECT_TRUE(result.all_left);
    EXPECT_EQ(ExitCodeOf(result.status), ExitCode::kPeerNeverCame)
        << result.status;
    EXPECT_NE(std::string(result.status.message()).find("worker 0 was lost"),
              std::string::npos)
        << result.status;
  }
}

TEST(SimJobTest, WhoComesToAJobThatHasFailedHearsWhy) {
  int late = 0;
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    SimJobOptions options;
    options.network.seed = seed;
    options.start_spread = absl::Seconds(2);
    options.losses = {{.process = 1, .after = absl::Seconds(1)}};
    const SimJobResult result =
        RunSimJob(MakeJob({"cluster.servers=2", "train.steps=10000"}), options);
    for (const absl::Status& status : result.statuses) {
      EXPECT_EQ(ExitCodeOf(status), ExitCode::kPeerNeverCame)
          << status << " seed " << seed;
    }
    late += result.steps == 0;
  }
  EXPECT_GT(late, 5);
}

TEST(SimJobTest, AJobThatFailsEndsAtOnce) {
  SimJobOptions options;
  options.model.noise = std::numeric_limits<float>::quiet_NaN();
  const SimJobResult result =
      RunSimJob(MakeJob({"cluster.servers=3"}), options);
  EXPECT_FALSE(result.status.ok());
  EXPECT_TRUE(result.all_left);
}

TEST(SimJobTest, ANaNGradientEndsTheJobNamingTheTensor) {
  SimJobOptions options;
  options.model.noise = std::numeric_limits<float>::quiet_NaN();
  const SimJobResult result = RunSimJob(MakeJob({}), options);
  ASSERT_FALSE(result.status.ok());
  EXPECT_NE(std::string(result.status.message()).find("fc3.bias"),
            std::string::npos)
      << result.status;
}

}  // namespace
}  // namespace terse
