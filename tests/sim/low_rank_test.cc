// Jobs whose gradients travel as the factors of PowerSGD, in two exchanges.
#include <string>
#include <vector>

#include "tests/sim/fixture.h"
#include "worker/local_job.h"

namespace terse {
namespace {

constexpr char kJob[] = R"(
name: factors
seed: 5
model: {mlp: {hidden: [40, 24], batch_norm: true}}
data: {kind: noise, shape: [1, 9, 9], train_samples: 1000, test_samples: 101}
compress:
  small_tensor_elements: 100
  gradient: {kind: powersgd, rank: 2, error_feedback: true}
optimizer: {kind: sgd, learning_rate: 0.1, momentum: 0.5}
train: {steps: 9, batch_size: 20, evaluate_every_epochs: 0}
cluster: {servers: 1, workers: 3}
)";

Job MakeJob(const std::vector<std::string>& overrides) {
  return JobOf(kJob, overrides);
}

SimJobResult RunJob(uint64_t network_seed,
                    const std::vector<std::string>& overrides) {
  SimJobOptions options;
  options.network.seed = network_seed;
  return RunSimJob(MakeJob(overrides), options);
}

TEST(LowRankJobTest, TheBitsDependOnTheJobAlone) {
  const std::vector<std::vector<std::string>> jobs = {
      {},
      {"compress.gradient.error_feedback=false"},
      {"compress.gradient.rank=9", "optimizer={kind: adam}"},
      {"clip.global_norm=0.3", "clip.value=0.05"},
      {"quantize.weights={kind: dorefa, bits: 2}"},
      {"cluster.workers=1"}};
  for (const std::vector<std::string>& job : jobs) {
    SCOPED_TRACE(job.empty() ? "plain" : job[0]);
    std::vector<std::string> with = job;
    with.push_back("compress.down=weights");
    const SimJobResult expected = RunJob(1, with);
    ASSERT_TRUE(expected.status.ok()) << expected.status;
    for (int servers : {1, 2, 3}) {
      with.back() = absl::StrCat("cluster.servers=", servers);
      const SimJobResult result = RunJob(10 + servers, with);
      ASSERT_TRUE(result.status.ok()) << result.status;
      EXPECT_EQ(result.report["weights_sha256"],
                expected.report["weights_sha256"]);
      EXPECT_EQ(result.report["test_loss"], expected.report["test_loss"]);
    }
    const absl::StatusOr<nlohmann::json> local = RunLocalJob(
        MakeJob(with),
        {.make_model = [](const Job& job, const Plan& plan, uint32_t rank) {
          return std::make_unique<SimModel>(job, plan, rank, SimModelOptions{});
        }});
    ASSERT_TRUE(local.ok()) << local.status();
    EXPECT_EQ((*local)["weights_sha256"], expected.report["weights_sha256"]);
  }
}

TEST(LowRankJobTest, WorkersHoldTheServersWeights) {
  const SimJobResult result = RunJob(2, {"compress.down=sum"});
  ASSERT_TRUE(result.status.ok()) << result.status;
  for (const std::string& worker : result.worker_sha256) {
    EXPECT_EQ(worker, result.report["weights_sha256"]);
  }
}

TEST(LowRankJobTest, TakesFewBitsAndTrains) {
  const auto loss = [](const SimJobResult& result) {
    EXPECT_TRUE(result.status.ok()) << result.status;
    return result.report["test_loss"].get<double>();
  };
  const std::vector<std::string> longer = {"train.steps=300",
                                           "optimizer.learning_rate=0.03"};
  const SimJobResult result = RunJob(1, longer);
  EXPECT_LT(loss(result), loss(RunJob(1, {})) / 5);
  std::vector<std::string> dense = longer;
  dense.push_back("compress.gradient=none");
  const SimJobResult full = RunJob(1, dense);
  EXPECT_LT(2.5 * result.report["wire_bytes_up"].get<double>(),
            full.report["wire_bytes_up"].get<double>());
  EXPECT_LT(2.5 * result.report["wire_bytes_down"].get<double>(),
            full.report["wire_bytes_down"].get<double>());
}

// Two directions of three, and error feedback for the third.
TEST(LowRankJobTest, TrainsNearlyAsTheWholeGradient) {
  const std::vector<std::string> base = {
      "model={mlp: {hidden: [3], batch_norm: false}}",
      "compress.small_tensor_elements=0", "train.steps=20"};
  std::vector<std::string> factors = base, dense = base;
  factors.push_back("compress.gradient.rank=2");
  dense.push_back("compress.gradient=none");
  const SimJobResult a = RunJob(1, factors);
  const SimJobResult b = RunJob(1, dense);
  ASSERT_TRUE(a.status.ok() && b.status.ok());
  EXPECT_NEAR(a.report["test_loss"].get<double>(),
              b.report["test_loss"].get<double>(),
              0.25 * b.report["test_loss"].get<double>());
}

TEST(LowRankJobTest, NeedsBsp) {
  for (const char* mode : {"cluster.mode=async", "cluster.mode=ssp"}) {
    const SimJobResult result = RunJob(1, {mode});
    EXPECT_EQ(ExitCodeOf(result.status), ExitCode::kBadJob) << result.status;
    EXPECT_NE(std::string(result.status.message()).find("powersgd"),
              std::string::npos);
  }
}

}  // namespace
}  // namespace terse
