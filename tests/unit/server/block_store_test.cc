#include "server/block_store.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "common/config/job.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace terse {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr char kJob[] = R"(
model: {mlp: {hidden: [4], batch_norm: true}}
data: {kind: noise, shape: [1, 2, 3]}
quantize: {ends: quantized}
optimizer: {kind: sgd, learning_rate: 1}
train: {steps: 5, batch_size: 8}
)";

class BlockStoreTest : public testing::Test {
 protected:
  // Block 0 is fc1.weight, 4 rows of 6.
  void Make(const std::vector<std::string>& overrides) {
    absl::StatusOr<Job> job = ParseJob(kJob, "block_store_test", overrides);
    ASSERT_TRUE(job.ok()) << job.status();
    job_ = *job;
    absl::StatusOr<Plan> plan = MakePlan(job_);
    ASSERT_TRUE(plan.ok()) << plan.status();
    plan_ = *std::move(plan);
    ASSERT_EQ(plan_.model.tensors[plan_.blocks[0].tensor].name, "fc1.weight");
    store_ = std::make_unique<BlockStore>(job_, plan_, 0);
  }

  std::vector<float> Weights() const {
    const auto weights = store_->Weights(0);
    return {weights.begin(), weights.end()};
  }

  absl::Status Update(const std::vector<float>& gradient, uint64_t step = 0,
                      float learning_rate = 1) {
    return store_->Update(0, step, learning_rate, 1, gradient);
  }

  // What a worker computes with.
  std::vector<float> Published() const {
    const Buffer codes = store_->EncodeWeights(0, 1, store_->WeightStats(0));
    const WeightQuantizer& quantizer = *plan_.tensors[0].quantizer;
    std::vector<float> weights(plan_.blocks[0].count);
    EXPECT_TRUE(quantizer.Validate(codes.bytes(), weights.size()).ok());
    quantizer.Decode(codes.bytes(), weights);
    return weights;
  }

  Job job_;
  Plan plan_;
  std::unique_ptr<BlockStore> store_;
};

TEST_F(BlockStoreTest, LearnedScalesStartAtOneAndAreTrained) {
  Make({"quantize.weights=ttq"});
  EXPECT_THAT(store_->LearnedScales(0), ElementsAre(1, 1));
  const Sha256Digest first = store_->Digest(0);
  store_->UpdateLearned(0, {.sum = -2, .second_sum = 1.5}, 0.5f);
  EXPECT_THAT(store_->LearnedScales(0), ElementsAre(2, 0.25f));
  EXPECT_NE(store_->Digest(0), first);
  const std::vector<float> published = Published();
  EXPECT_EQ(*std::max_element(published.begin(), published.end()), 2);
  EXPECT_EQ(*std::min_element(published.begin(), published.end()), -0.25f);
  // A scale does not change its sign, and leaves 0 again.
  store_->UpdateLearned(0, {.sum = 100, .second_sum = 0}, 0.5f);
  EXPECT_THAT(store_->LearnedScales(0), ElementsAre(0, 0.25f));
  store_->UpdateLearned(0, {.sum = -1, .second_sum = 0}, 0.5f);
  EXPECT_THAT(store_->LearnedScales(0), ElementsAre(0.5f, 0.25f));
}

TEST_F(BlockStoreTest, ChainRuleTakesTheScalesOfTheForwardPass) {
  Make({"quantize.weights=ttq"});
  store_->UpdateLearned(0, {.sum = -1, .second_sum = -2}, 1);
  store_->UpdateLearned(0, {.sum = -5, .second_sum = -5}, 1);
  std::vector<float> gradient(24, 1.0f);
  store_->ChainRule(0, store_->WeightStats(0), {}, gradient);
  const std::vector<float> weights = Weights();
  for (size_t i = 0; i < 24; ++i) {
    if (std::abs(weights[i]) < 0.1f) continue;
    EXPECT_EQ(gradient[i], weights[i] > 0 ? 2 : 3) << i;
  }
}

TEST_F(BlockStoreTest, OtherTensorsLearnNoScales) {
  Make({"quantize.weights=twn"});
  EXPECT_TRUE(store_->LearnedScales(0).empty());
  store_->UpdateLearned(0, {.sum = 1}, 1);
  EXPECT_TRUE(store_->LearnedScales(0).empty());
}

TEST_F(BlockStoreTest, RuleRKeepsTheGridAndStalls) {
  Make({"quantize.weights={kind: uniform, bits: 3, max: 0.75}",
        "quantize.rule=r"});
  const std::vector<float> start = Weights();
  for (float w : start) EXPECT_EQ(w, 0.25f * std::round(w / 0.25f));
  EXPECT_EQ(Published(), start);
  for (uint64_t step = 0; step < 10; ++step) {
    ASSERT_TRUE(Update(std::vector<float>(24, 0.12f), step).ok());
  }
  EXPECT_EQ(Weights(), start);
  ASSERT_TRUE(Update(std::vector<float>(24, 0.13f), 10).ok());
  for (size_t i = 0; i < 24; ++i) {
    EXPECT_EQ(Weights()[i], std::max(start[i] - 0.25f, -0.75f));
  }
}

TEST_F(BlockStoreTest, RuleSrMovesSomeWeightsByAWholeStep) {
  Make({"quantize.weights={kind: uniform, bits: 3, max: 0.75}",
        "quantize.rule=sr"});
  const std::vector<float> start = Weights();
  ASSERT_TRUE(Update(std::vector<float>(24, 0.0625f), 0).ok());
  const std::vector<float> moved = Weights();
  EXPECT_EQ(Published(), moved);
  size_t count = 0;
  for (size_t i = 0; i < 24; ++i) {
    EXPECT_TRUE(moved[i] == start[i] || moved[i] == start[i] - 0.25f) << i;
    count += moved[i] != start[i];
  }
  EXPECT_GT(count, 0);
  EXPECT_LT(count, 24);
  // The draws are a function of the seed and the update.
  Make({"quantize.weights={kind: uniform, bits: 3, max: 0.75}",
        "quantize.rule=sr"});
  ASSERT_TRUE(Update(std::vector<float>(24, 0.0625f), 0).ok());
  EXPECT_EQ(Weights(), moved);
  Make({"quantize.weights={kind: uniform, bits: 3, max: 0.75}",
        "quantize.rule=sr"});
  ASSERT_TRUE(Update(std::vector<float>(24, 0.0625f), 1).ok());
  EXPECT_NE(Weights(), moved);
}

TEST_F(BlockStoreTest, CentresBeforeItClips) {
  Make({"quantize.weights={kind: bwn, center: true}"});
  // Every weight of a row moves to 3 but one to 0: the mean is 2.5.
  std::vector<float> gradient = Weights();
  for (size_t i = 0; i < 24; ++i) gradient[i] -= i % 6 == 0 ? 0 : 3;
  ASSERT_TRUE(Update(gradient).ok());
  for (size_t i = 0; i < 24; ++i) {
    EXPECT_NEAR(Weights()[i], i % 6 == 0 ? -1 : 0.5f, 1e-6) << i;
  }
}

TEST_F(BlockStoreTest, NoCodeHidesAWeightThatIsNoNumber) {
  for (const char* weights :
       {"binaryconnect", "{kind: dorefa, bits: 2}", "dorefa", "twn", "ttq",
        "{kind: uniform, bits: 4, max: 1}", "{kind: pwlq, bits: 3}"}) {
    Make({std::string("quantize.weights=") + weights});
    std::vector<float> gradient(24, 0.01f);
    EXPECT_TRUE(Update(gradient).ok()) << weights;
    gradient[17] = std::numeric_limits<float>::quiet_NaN();
    const absl::Status status = Update(gradient, 1);
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << weights;
    EXPECT_THAT(std::string(status.message()), HasSubstr("fc1.weight"));
    EXPECT_THAT(std::string(status.message()), HasSubstr("update 2"));
  }
}

}  // namespace
}  // namespace terse
