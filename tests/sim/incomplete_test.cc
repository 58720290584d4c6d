// Jobs whose steps close with some workers' gradients missing: those of lost
// workers where the job goes on without them, and of backup workers that are
// late.
#include <algorithm>
#include <string>
#include <vector>

#include "tests/sim/fixture.h"

namespace terse {
namespace {

using ::testing::HasSubstr;

constexpr char kJob[] = R"(
name: sim
seed: 7
model: {mlp: {hidden: [40, 24], batch_norm: true}}
data: {kind: noise, shape: [1, 9, 9], train_samples: 1000, test_samples: 101}
train: {steps: 30, batch_size: 20, evaluate_every_epochs: 1}
quantize: {weights: bwn}
compress:
  small_tensor_elements: 100
  gradient: {kind: topk, ratio: 0.1, error_feedback: true}
  down: weights
cluster: {servers: 2, workers: 4, peer_timeout_seconds: 5}
)";

Job MakeJob(const std::vector<std::string>& overrides) {
  return JobOf(kJob, overrides);
}

// Whoever is there at the end has the same weights.
void ExpectWhole(const SimJobResult& result, size_t replicas) {
  ASSERT_TRUE(result.status.ok()) << result.status;
  EXPECT_EQ(result.report["steps"], 30);
  EXPECT_EQ(result.worker_sha256.size(), replicas);
  for (const std::string& digest : result.worker_sha256) {
    EXPECT_EQ(digest, result.worker_sha256[0]);
  }
}

uint64_t CountEvents(const SimJobResult& result, const std::string& kind) {
  return std::count_if(
      result.events.begin(), result.events.end(),
      [&](const nlohmann::json& event) { return event["event"] == kind; });
}

TEST(ContinueTest, TheJobGoesOnWithoutALostWorker) {
  const Job job = MakeJob({"cluster.on_worker_loss=continue"});
  const SimJobResult calm = RunJob(job);
  ExpectWhole(calm, 4);
  uint64_t lost = 0;
  for (int part = 1; part <= 24; ++part) {
    SCOPED_TRACE(part);
    SimJobOptions options;
    options.network.seed = part;
    options.losses = {{.process = 2 + uint32_t(part) % 4,
                       .after = PartOf(calm, part / 24.0)}};
    const SimJobResult result = RunJob(job, options);
    if (!result.status.ok()) {  // While the workers joined.
      EXPECT_EQ(ExitCodeOf(result.status), ExitCode::kPeerNeverCame);
      continue;
    }
    ExpectWhole(result, result.worker_sha256.size());
    lost += CountEvents(result, "lost");
    EXPECT_LE(result.steps, calm.steps);
  }
  EXPECT_GE(lost, 12u);
}

TEST(ContinueTest, AnotherProcessComesToAJobUnderWay) {
  const Job job = MakeJob({"cluster.on_worker_loss=continue"});
  const SimJobResult calm = RunJob(job);
  uint64_t replaced = 0;
  for (int part = 1; part <= 20; ++part) {
    SCOPED_TRACE(part);
    SimJobOptions options;
    options.network.seed = part;
    options.losses = {{.process = 2 + uint32_t(part) % 4,
                       .after = PartOf(calm, part / 24.0)}};
    options.replace_after = PartOf(calm, 0.1);
    const SimJobResult result = RunJob(job, options);
    if (!result.status.ok()) {
      EXPECT_EQ(ExitCodeOf(result.status), ExitCode::kPeerNeverCame)
          << result.status;
      continue;
    }
    ExpectWhole(result, 4);
    replaced += CountEvents(result, "joined") > 5;
  }
  EXPECT_GE(replaced, 12u);
}

TEST(ContinueTest, AWorkerThatIsCutOffComesBack) {
  const Job job = MakeJob({"cluster.on_worker_loss=continue"});
  const SimJobResult calm = RunJob(job);
  uint64_t back = 0;
  for (int part = 1; part <= 16; ++part) {
    SCOPED_TRACE(part);
    SimJobOptions options;
    options.network.seed = part;
    options.troubles.push_back({.worker = uint32_t(part) % 4,
                                .shard = uint32_t(part) % 2,
                                .after = PartOf(calm, (part + 4) / 24.0)});
    const SimJobResult result = RunJob(job, options);
    // Cut while the workers join; or back too late, with nobody to restart it.
    if (ExitCodeOf(result.status) == ExitCode::kPeerNeverCame) continue;
    ExpectWhole(result, 4);
    ++back;
  }
  EXPECT_GE(back, 12u);
}

TEST(ContinueTest, SumsNeedEverybody) {
  const SimJobResult result =
      RunJob(MakeJob({"cluster.on_worker_loss=continue", "compress.down=sum",
                      "quantize.weights=none"}));
  EXPECT_EQ(ExitCodeOf(result.status), ExitCode::kBadJob);
  EXPECT_THAT(std::string(result.status.message()),
              HasSubstr("cluster.on_worker_loss: continue"));
}

TEST(BackupWorkersTest, StepsCloseWithoutTheSlowest) {
  const Job job = MakeJob({"cluster.backup_workers=1"});
  for (uint64_t seed = 1; seed <= 8; ++seed) {
    SCOPED_TRACE(seed);
    SimJobOptions options;
    options.network.seed = seed;
    options.network.slowness_max = 6;
    // One stands still again and again, for longer than steps take.
    const SimJobResult calm = RunJob(MakeJob({}), options);
    for (int i = 1; i < 8; ++i) {
      options.troubles.push_back({.worker = uint32_t(seed) % 4,
                                  .after = PartOf(calm, i / 10.0),
                                  .stall = PartOf(calm, 1 / 15.0)});
    }
    const SimJobResult waits = RunJob(MakeJob({}), options);
    const SimJobResult result = RunJob(job, options);
    ExpectWhole(waits, 4);
    ExpectWhole(result, 4);
    EXPECT_LE(result.seconds, waits.seconds);
    EXPECT_LE(result.lead_max, 5u);
  }
}

TEST(BackupWorkersTest, OneAtLeastMustCount) {
  const SimJobResult result = RunJob(MakeJob({"cluster.backup_workers=4"}));
  EXPECT_EQ(ExitCodeOf(result.status), ExitCode::kBadJob);
}

}  // namespace
}  // namespace terse
