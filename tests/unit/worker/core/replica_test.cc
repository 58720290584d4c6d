#include "worker/replica.h"

#include <cstring>
#include <limits>
#include <vector>

#include "common/codec/gradient_sum.h"
#include "common/config/job.h"
#include "gtest/gtest.h"
#include "worker/downlink.h"

namespace terse {
namespace {

constexpr char kJob[] = R"(
model: {mlp: {hidden: [30], batch_norm: false}}
data: {kind: noise, shape: [1, 5, 5]}
compress:
  small_tensor_elements: 100
  gradient: {kind: terngrad, clip_sigmas: 0, scale: shared}
optimizer: {kind: sgd, learning_rate: 1, momentum: 0.5}
train: {steps: 3, batch_size: 10}
cluster: {workers: 2}
)";

class ReplicaTest : public testing::Test {
 protected:
  void SetUp() override {
    const absl::StatusOr<Job> job = ParseJob(kJob, "replica_test", {});
    ASSERT_TRUE(job.ok()) << job.status();
    job_ = *job;
    absl::StatusOr<Plan> plan = MakePlan(job_);
    ASSERT_TRUE(plan.ok()) << plan.status();
    plan_ = *std::move(plan);
    ASSERT_TRUE(plan_.tensors[0].sum_down);
    count_ = plan_.blocks[0].count;
    ASSERT_EQ(count_, 750u);
  }

  // Two workers' level sums, 2 everywhere.
  Buffer Sum(float scale, float factor) const {
    const SumContext context = SumContextOf(plan_, 0);
    LevelSums sums(*context.level_codec, 2, count_);
    const std::vector<float> ones(count_, 1e9f);
    std::vector<std::byte> payload(context.codec.MaxEncodedBytes(count_));
    EXPECT_TRUE(
        context.level_codec->EncodeShared(ones, {}, scale, payload).ok());
    for (int w = 0; w < 2; ++w) sums.Add(*context.level_codec, payload);
    Buffer message = EncodeLevelSum(context, sums, scale);
    FinishSum(factor, 1, message);
    return message;
  }

  Job job_;
  Plan plan_;
  size_t count_ = 0;
};

TEST_F(ReplicaTest, MakesTheUpdateWithItsOwnState) {
  Replica replica(job_, plan_);
  std::vector<float> weights(count_, 10.0f);
  ASSERT_TRUE(replica.Decode(0, 0.5f, {}, Sum(0.5f, 1).bytes()).ok());
  EXPECT_EQ(weights[0], 10);  // Nothing happens before the update.
  replica.Update(0, 0, 1, weights);
  EXPECT_EQ(weights, std::vector<float>(count_, 9.5f));
  // Momentum 0.5 of 0.5, and half of a mean of 2.
  ASSERT_TRUE(replica.Decode(0, 2, {}, Sum(2, 0.5f).bytes()).ok());
  replica.Update(0, 1, 0.5f, weights);
  EXPECT_EQ(weights, std::vector<float>(count_, 9.5f - 0.5f * 1.25f));
}

TEST_F(ReplicaTest, RefusesASumNamingTheTensor) {
  Replica replica(job_, plan_);
  const absl::Status status = replica.Decode(0, 1, {}, Sum(0.5f, 1).bytes());
  EXPECT_TRUE(absl::IsDataLoss(status)) << status;
  EXPECT_NE(std::string(status.message()).find("fc1.weight"), std::string::npos)
      << status;
}

TEST_F(ReplicaTest, TheScaleIsTakenOffTheWeights) {
  const auto payload = [&](size_t floats, float last) {
    std::vector<float> values(floats, 3.0f);
    values.back() = last;
    return Buffer::CopyOf(std::as_bytes(std::span(values)));
  };
  Buffer good = payload(count_ + 1, 0.25f);
  const absl::StatusOr<float> scale = TakeSharedScale(plan_, 0, good);
  ASSERT_TRUE(scale.ok()) << scale.status();
  EXPECT_EQ(*scale, 0.25f);
  EXPECT_EQ(good.size(), count_ * sizeof(float));
  for (float bad : {-1.0f, -0.0f, std::numeric_limits<float>::infinity(),
                    std::numeric_limits<float>::quiet_NaN()}) {
    Buffer wrong = payload(count_ + 1, bad);
    EXPECT_TRUE(
        absl::IsInvalidArgument(TakeSharedScale(plan_, 0, wrong).status()))
        << bad;
  }
  Buffer empty;
  EXPECT_TRUE(absl::IsDataLoss(TakeSharedScale(plan_, 0, empty).status()));
  // Tensors without a shared scale have none behind them.
  const uint32_t bias = plan_.tensors[1].first_block;
  Buffer whole = payload(30, 1);
  const absl::StatusOr<float> none = TakeSharedScale(plan_, bias, whole);
  ASSERT_TRUE(none.ok());
  EXPECT_EQ(*none, 0);
  EXPECT_EQ(whole.size(), 30 * sizeof(float));
}

}  // namespace
}  // namespace terse
