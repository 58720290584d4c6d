// Jobs in which what comes down is the sum of the gradients. Servers and
// workers must hold the same weights, and those of the same job with the
// weights sent down.
#include <string>
#include <vector>

#include "tests/sim/fixture.h"
#include "worker/local_job.h"

namespace terse {
namespace {

// Batch norm and a small threshold: some tensors come down as weights, others
// as sums, and blocks of one tensor lie on several servers.
constexpr char kJob[] = R"(
name: sums
seed: 11
model: {mlp: {hidden: [40, 24], batch_norm: true}}
data: {kind: noise, shape: [1, 9, 9], train_samples: 1000, test_samples: 101}
compress: {small_tensor_elements: 100}
train: {steps: 9, batch_size: 20, evaluate_every_epochs: 0}
cluster: {servers: 1, workers: 3}
)";

Job MakeJob(std::vector<std::string> overrides,
            const std::vector<std::string>& more) {
  overrides.insert(overrides.end(), more.begin(), more.end());
  return JobOf(kJob, overrides);
}

struct Method {
  std::string name;
  std::vector<std::string> overrides;
};

constexpr char kTernary[] = "compress.gradient={kind: terngrad, scale: shared}";

std::vector<Method> Methods() {
  return {
      {"sgd", {kTernary, "optimizer.weight_decay=0.01"}},
      {"momentum", {kTernary, "optimizer.momentum=0.9"}},
      {"nesterov",
       {kTernary, "optimizer.momentum=0.9", "optimizer.nesterov=true",
        "optimizer.schedule={kind: cosine, warmup_epochs: 0.3}"}},
      {"adam", {kTernary, "optimizer.kind=adam"}},
      {"clip_value", {kTernary, "clip.value=0.05", "optimizer.momentum=0.5"}},
      {"clip_norm",
       {kTernary, "clip.global_norm=0.5", "clip.value=0.3",
        "optimizer.kind=adam"}},
      {"error_feedback",
       {"compress.gradient={kind: terngrad, scale: shared, "
        "error_feedback: true}"}},
      {"no_clip",
       {"compress.gradient={kind: terngrad, clip_sigmas: 0, scale: shared}"}},
      {"qsgd", {"compress.gradient={kind: qsgd, scale: shared}"}},
      {"dorefa_coded",
       {"compress.gradient={kind: dorefa, scale: shared, coding: entropy}"}},
      {"sign_given",
       {"compress.gradient={kind: sign, scale: given, scale_max: 0.02, "
        "error_feedback: true}"}},
      {"majority",
       {"compress.gradient=majority", "optimizer.learning_rate=0.001"}},
      {"majority_of_four",
       {"compress.gradient=majority", "cluster.workers=4",
        "optimizer.learning_rate=0.001"}},
      {"warm_up",
       {"compress.gradient={kind: topk, ratio: 0.01, per: tensor, "
        "warmup_ratios: [0.25, 0.05], values: terngrad, "
        "error_feedback: true}"}},
      {"one_worker", {kTernary, "cluster.workers=1"}},
      {"many_workers",
       {kTernary, "cluster.workers=130", "train.steps=3",
        "train.batch_size=2"}},
      {"own_scale", {"compress.gradient=terngrad", "optimizer.momentum=0.9"}},
      {"topk",
       {"compress.gradient={kind: topk, ratio: 0.05, error_feedback: true}",
        "optimizer.momentum=0.9"}},
      {"topk_norm",
       {"compress.gradient={kind: topk, ratio: 0.02, error_feedback: true}",
        "clip.global_norm=0.1"}},
      {"fp16", {"compress.gradient=fp16", "cluster.workers=2"}},
      {"mixed",
       {kTernary,
        "quantize.rules=[{match: fc2.weight, weights: "
        "binaryconnect}]",
        "optimizer.kind=adam"}},
      {"evaluations",
       {kTernary, "train.evaluate_every_epochs=1", "train.steps=40"}},
  };
}

class SumDownTest : public testing::TestWithParam<Method> {
 protected:
  static SimJobResult Run(uint64_t seed, const std::vector<std::string>& more) {
    SimJobOptions options;
    options.network.seed = seed;
    SimJobResult result =
        RunSimJob(MakeJob(GetParam().overrides, more), options);
    EXPECT_TRUE(result.status.ok())
        << result.status << " (network seed " << seed << ")";
    return result;
  }
};

TEST_P(SumDownTest, ReplicasEndWithTheBitsOfSentWeights) {
  const SimJobResult weights = Run(1, {"compress.down=weights"});
  const std::string expected = weights.report.value("weights_sha256", "");
  ASSERT_EQ(expected.size(), 64u);
  for (int servers : {1, 2, 3}) {
    const SimJobResult sums =
        Run(servers,
            {"compress.down=sum", absl::StrCat("cluster.servers=", servers)});
    ASSERT_EQ(sums.report["weights_sha256"], expected) << servers;
    ASSERT_EQ(sums.report["test_loss"], weights.report["test_loss"]);
    ASSERT_EQ(sums.report["train_loss"], weights.report["train_loss"]);
    if (GetParam().name == "mixed") continue;  // Workers hold codes.
    for (const std::string& worker : sums.worker_sha256) {
      ASSERT_EQ(worker, expected);
    }
    if (GetParam().name == "fp16") continue;  // Two are as long as a float.
    ASSERT_LT(sums.report["wire_bytes_down"].get<uint64_t>(),
              weights.report["wire_bytes_down"].get<uint64_t>());
  }
}

TEST_P(SumDownTest, SameBitsOverMemory) {
  const SimJobResult simulated = Run(1, {});
  const absl::StatusOr<nlohmann::json> report = RunLocalJob(
      MakeJob(GetParam().overrides, {"cluster.servers=2"}),
      {.make_model = [](const Job& job, const Plan& plan, uint32_t rank) {
        return std::make_unique<SimModel>(job, plan, rank, SimModelOptions{});
      }});
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ((*report)["weights_sha256"], simulated.report["weights_sha256"]);
}

INSTANTIATE_TEST_SUITE_P(Methods, SumDownTest, testing::ValuesIn(Methods()),
                         [](const auto& info) { return info.param.name; });

TEST(SumDownJobTest, SharedScalesTrain) {
  for (const char* servers : {"cluster.servers=1", "cluster.servers=3"}) {
    const SimJobResult result = RunSimJob(
        MakeJob({kTernary, "train.steps=300", "optimizer.learning_rate=0.05"},
                {servers}),
        {});
    ASSERT_TRUE(result.status.ok()) << result.status;
    const SimJobResult start = RunSimJob(MakeJob({kTernary}, {}), {});
    EXPECT_LT(result.report["test_loss"].get<double>(),
              start.report["test_loss"].get<double>() / 20);
  }
}

TEST(SumDownJobTest, NeedsBsp) {
  for (const char* wish :
       {"compress.down=sum",
        "compress.gradient={kind: terngrad, scale: shared}"}) {
    const SimJobResult result =
        RunSimJob(MakeJob({"cluster.mode=async", wish}, {}), {});
    EXPECT_EQ(ExitCodeOf(result.status), ExitCode::kBadJob) << result.status;
  }
}

}  // namespace
}  // namespace terse
