#include "common/cost/traffic.h"

#include <numeric>
#include <string>

#include "common/config/job.h"
#include "common/frame/frame.h"
#include "gtest/gtest.h"

namespace terse {
namespace {

struct Planned {
  Job job;
  Plan plan;
};

Planned PlanOf(const std::string& yaml) {
  const absl::StatusOr<Job> job =
      ParseJob(yaml + "\ntrain: {epochs: 1, batch_size: 5}\n", "test", {});
  EXPECT_TRUE(job.ok()) << job.status();
  absl::StatusOr<Plan> plan = MakePlan(*job);
  EXPECT_TRUE(plan.ok()) << plan.status();
  return {*job, *std::move(plan)};
}

// 784x600 and 600x10 weights; 470,400 elements are two blocks.
const std::string kModel = "model: {mlp: {hidden: [600], batch_norm: false}}\n";

TEST(TrafficTest, FullPrecisionIsFourBytesAndAHeaderPerBlock) {
  const Planned job = PlanOf(kModel);
  const Traffic weight = TensorTraffic(job.plan, 0);
  EXPECT_EQ(weight.frames, 2);
  EXPECT_EQ(weight.payload_bytes_down, 4 * 470400);
  EXPECT_EQ(weight.bytes_down(), 4 * 470400 + 2 * kFrameHeaderBytes);
  const Traffic all = PlanTraffic(job.plan);
  EXPECT_EQ(all.frames, job.plan.blocks.size());
  EXPECT_EQ(all.payload_bytes_down, 4 * job.plan.ParameterCount());
  EXPECT_GE(all.payload_bytes_up, 4 * job.plan.ParameterCount());
}

TEST(TrafficTest, SharesAreThoseOfTheElements) {
  const Planned job = PlanOf(kModel);
  const std::vector<double> shares = TensorShares(job.plan);
  ASSERT_EQ(shares.size(), job.plan.model.tensors.size());
  const auto all = static_cast<double>(job.plan.ParameterCount());
  EXPECT_NEAR(shares[0], 784 * 600 / all, 1e-12);
  EXPECT_NEAR(std::accumulate(shares.begin(), shares.end(), 0.0), 1, 1e-12);
}

TEST(TrafficTest, CodecsAndQuantizersAreCountedByTheirOwnWord) {
  const Planned job = PlanOf(kModel +
                             "quantize: {weights: binaryconnect}\n"
                             "compress: {gradient: terngrad}");
  const TensorPlan& tensor = job.plan.tensors[0];
  uint64_t up = 0, down = 0;
  for (uint32_t b = 0; b < tensor.block_count; ++b) {
    const uint32_t count = job.plan.blocks[tensor.first_block + b].count;
    up += tensor.codec->TypicalEncodedBytes(count);
    down += tensor.quantizer->EncodedBytes(count);
  }
  EXPECT_EQ(TensorTraffic(job.plan, 0).payload_bytes_up, up);
  EXPECT_EQ(TensorTraffic(job.plan, 0).payload_bytes_down, down);
  EXPECT_LT(up, 470400 / 2);
  EXPECT_LT(down, 470400 / 7);
}

TEST(TrafficTest, BuffersCountNothing) {
  const Planned job = PlanOf("model: {mlp: [20]}");
  for (uint32_t t = 0; t < job.plan.tensors.size(); ++t) {
    EXPECT_EQ(TensorTraffic(job.plan, t).frames > 0, !job.plan.IsBuffer(t));
  }
}

TEST(MemoryTest, ServersHoldTheirShareOnce) {
  const std::string adam = kModel + "optimizer: adam\ncluster: {servers: ";
  const Planned one = PlanOf(adam + "1}");
  const uint64_t bytes = 4 * one.plan.ParameterCount();
  EXPECT_EQ(MemoryOfServer(one.job, one.plan, 0).weights, bytes);
  EXPECT_EQ(MemoryOfServer(one.job, one.plan, 0).optimizer, 2 * bytes);
  const Planned two = PlanOf(adam + "2}");
  const ServerMemory first = MemoryOfServer(two.job, two.plan, 0);
  const ServerMemory second = MemoryOfServer(two.job, two.plan, 1);
  EXPECT_EQ(first.weights + second.weights, bytes);
  EXPECT_EQ(first.optimizer + second.optimizer, 2 * bytes);
  EXPECT_GT(second.weights, 0);
  EXPECT_EQ(first.total(), first.weights + first.optimizer + first.working);
  EXPECT_EQ(MemoryOfServer(two.job, two.plan, 2).total(), 0);
}

TEST(MemoryTest, WorkersPayForErrorFeedback) {
  const Planned plain = PlanOf(kModel + "compress: {gradient: topk}");
  const Planned fed = PlanOf(
      kModel + "compress: {gradient: {kind: topk, error_feedback: true}}");
  const WorkerMemory without = MemoryOfWorker(plain.job, plain.plan);
  const WorkerMemory with = MemoryOfWorker(fed.job, fed.plan);
  EXPECT_EQ(without.gradients, 4 * plain.plan.ParameterCount());
  // The one tensor that is not small.
  EXPECT_EQ(with.gradients, without.gradients + 4 * 470400);
  // 784 inputs, 600 and 600 and 10 outputs; values and gradients; 5 samples.
  EXPECT_EQ(with.activations, 2u * 4 * 5 * (784 + 600 + 600 + 10));
}

TEST(StepReportTest, IsAHeaderAndSomeNumbers) {
  const Planned job = PlanOf(kModel);
  EXPECT_GT(StepReportBytes(job.job), kFrameHeaderBytes + 20);
  EXPECT_LT(StepReportBytes(job.job), kFrameHeaderBytes + 150);
}

}  // namespace
}  // namespace terse
