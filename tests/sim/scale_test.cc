// Many workers and many shards: the same bits as with one shard, and nobody
// holds more than the job's arithmetic allows.
#include "tests/sim/fixture.h"

namespace terse {
namespace {

constexpr char kJob[] = R"(
name: sim
seed: 7
model:
  mlp:
    hidden: [40, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12,
             12, 12, 12, 12, 12, 12, 12]
data: {kind: noise, shape: [1, 9, 9], train_samples: 2000, test_samples: 1000}
quantize: {weights: bwn}
compress: {gradient: terngrad, small_tensor_elements: 0}
train: {steps: 2, batch_size: 1, evaluate_every_epochs: 0}
cluster: {servers: 1, workers: 1000}
)";

TEST(ScaleTest, AThousandWorkersAndSixtyFourShards) {
  SimJobOptions options;
  options.model = {.train_samples = 2000, .test_samples = 1000};
  const auto run = [&](uint32_t servers) {
    return RunSimJob(JobOf(kJob, {absl::StrCat("cluster.servers=", servers)}),
                     options);
  };
  const SimJobResult one = run(1);
  ASSERT_TRUE(one.status.ok()) << one.status;
  const SimJobResult many = run(64);
  ASSERT_TRUE(many.status.ok()) << many.status;
  EXPECT_EQ(many.report["servers"], 64);
  EXPECT_EQ(many.steps, 2000u);
  EXPECT_EQ(many.report["weights_sha256"], one.report["weights_sha256"]);
  ASSERT_EQ(many.worker_sha256.size(), 1000u);
  for (const std::string& digest : many.worker_sha256) {
    ASSERT_EQ(digest, one.worker_sha256[0]);
  }
}

}  // namespace
}  // namespace terse
