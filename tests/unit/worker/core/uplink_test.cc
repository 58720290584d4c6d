#include "worker/uplink.h"

#include <cstring>
#include <limits>
#include <map>
#include <numeric>
#include <utility>
#include <vector>

#include "common/config/job.h"
#include "gtest/gtest.h"
#include "proto/wire.pb.h"

namespace terse {
namespace {

constexpr char kJob[] = R"(
model: {mlp: {hidden: [700], batch_norm: true}}
data: {kind: noise, shape: [1, 30, 30]}
compress: {gradient: {kind: topk, ratio: 0.1, error_feedback: true}}
train: {steps: 1, batch_size: 10}
cluster: {servers: 2, workers: 2}
)";

class UplinkTest : public testing::Test {
 protected:
  void SetUp() override {
    const absl::StatusOr<Job> job = ParseJob(kJob, "uplink_test", {});
    ASSERT_TRUE(job.ok()) << job.status();
    absl::StatusOr<Plan> plan = MakePlan(*job);
    ASSERT_TRUE(plan.ok()) << plan.status();
    plan_ = *std::move(plan);
    ASSERT_EQ(plan_.model.tensors[0].name, "fc1.weight");
    ASSERT_GT(plan_.tensors[0].block_count, 1u);
  }

  Uplink MakeUplink() {
    return Uplink(plan_, /*seed=*/1, /*worker=*/0,
                  [this](uint32_t shard, Frame frame) {
                    EXPECT_EQ(shard, plan_.blocks[frame.block].shard);
                    frames_[frame.block] = std::move(frame);
                    return absl::OkStatus();
                  });
  }

  std::vector<float> Gradient() const {
    std::vector<float> gradient(ElementCount(plan_.model.tensors[0].shape));
    for (size_t i = 0; i < gradient.size(); ++i) {
      gradient[i] =
          static_cast<float>(static_cast<int>(i * 7919 % 2001) - 1000);
    }
    return gradient;
  }

  Plan plan_;
  std::map<uint32_t, Frame> frames_;
};

TEST_F(UplinkTest, EveryBlockGoesToItsShardOnce) {
  Uplink uplink = MakeUplink();
  ASSERT_TRUE(uplink.Push(3, 0, Gradient()).ok());
  ASSERT_EQ(frames_.size(), plan_.tensors[0].block_count);
  for (const auto& [block, frame] : frames_) {
    EXPECT_EQ(frame.type, wire::GRADIENT);
    EXPECT_EQ(frame.step, 3u);
    EXPECT_TRUE(
        plan_.tensors[0]
            .codec->Validate(frame.payload.bytes(), plan_.blocks[block].count)
            .ok());
  }
}

TEST_F(UplinkTest, PartsSendEveryBlockOnceAndTheSameBytes) {
  const std::vector<float> gradient = Gradient();
  Uplink whole = MakeUplink();
  ASSERT_TRUE(whole.Push(3, 0, gradient).ok());
  const auto expected = std::exchange(frames_, {});

  size_t sent = 0;
  Uplink uplink(plan_, /*seed=*/1, /*worker=*/0, [&](uint32_t, Frame frame) {
    ++sent;
    frames_[frame.block] = std::move(frame);
    return absl::OkStatus();
  });
  const size_t first_block = plan_.blocks[0].count;
  ASSERT_TRUE(
      uplink.PushReady(3, 0, std::span(gradient).first(first_block - 1)).ok());
  EXPECT_EQ(sent, 0u);
  ASSERT_TRUE(
      uplink.PushReady(3, 0, std::span(gradient).first(first_block)).ok());
  EXPECT_EQ(sent, 1u);
  ASSERT_TRUE(uplink.Push(3, 0, gradient).ok());
  EXPECT_EQ(sent, expected.size());
  for (const auto& [id, frame] : expected) {
    EXPECT_EQ(frames_[id].payload.text(), frame.payload.text()) << id;
    EXPECT_EQ(frames_[id].urgency, 1u);
  }
}

TEST_F(UplinkTest, SentPlusResidualIsTheGradient) {
  Uplink uplink = MakeUplink();
  const std::vector<float> gradient = Gradient();
  std::vector<float> sent(gradient.size());
  constexpr int kSteps = 3;
  for (int step = 0; step < kSteps; ++step) {
    ASSERT_TRUE(uplink.Push(step, 0, gradient).ok());
    for (const auto& [id, frame] : frames_) {
      const BlockSpec& block = plan_.blocks[id];
      plan_.tensors[0].codec->DecodeAdd(
          frame.payload.bytes(), 1,
          std::span(sent).subspan(block.first_index, block.count));
    }
  }
  const std::span<const float> residual = uplink.Residual(0);
  ASSERT_EQ(residual.size(), gradient.size());
  size_t held_back = 0;
  for (size_t i = 0; i < gradient.size(); ++i) {
    // Integers below 2^24: exact in floats.
    ASSERT_EQ(sent[i] + residual[i], kSteps * gradient[i]) << i;
    held_back += residual[i] != 0;
  }
  EXPECT_GT(held_back, gradient.size() / 2);
}

TEST_F(UplinkTest, MeasuresTheResidualEveryFewSteps) {
  Uplink uplink = MakeUplink();
  EXPECT_FALSE(uplink.ResidualNormRatio().has_value());
  const std::vector<float> gradient = Gradient();
  ASSERT_TRUE(uplink.Push(0, 0, gradient).ok());
  const double norm = NormOf(gradient);
  const double first = NormOf(uplink.Residual(0)) / norm;
  EXPECT_GT(first, 0.5);
  EXPECT_DOUBLE_EQ(*uplink.ResidualNormRatio(), first);
  for (uint64_t step = 1; step < kResidualNormSteps; ++step) {
    ASSERT_TRUE(uplink.Push(step, 0, gradient).ok());
    EXPECT_DOUBLE_EQ(*uplink.ResidualNormRatio(), first);
  }
  ASSERT_TRUE(uplink.Push(kResidualNormSteps, 0, gradient).ok());
  EXPECT_DOUBLE_EQ(*uplink.ResidualNormRatio(),
                   NormOf(uplink.Residual(0)) / norm);
  EXPECT_NE(*uplink.ResidualNormRatio(), first);
}

TEST_F(UplinkTest, MomentumCorrectionSendsMomenta) {
  plan_.tensors[0].feedback.momentum = 0.5f;
  plan_.tensors[0].feedback.momentum_masking = false;
  Uplink uplink = MakeUplink();
  const std::vector<float> gradient = Gradient();
  std::vector<float> sent(gradient.size());
  for (int step = 0; step < 2; ++step) {
    ASSERT_TRUE(uplink.Push(step, 0, gradient).ok());
    for (const auto& [id, frame] : frames_) {
      const BlockSpec& block = plan_.blocks[id];
      plan_.tensors[0].codec->DecodeAdd(
          frame.payload.bytes(), 1,
          std::span(sent).subspan(block.first_index, block.count));
    }
  }
  Feedback* const kept = uplink.KeptOf(0);
  ASSERT_NE(kept, nullptr);
  for (size_t i = 0; i < gradient.size(); ++i) {
    // g, then 1.5 g: halves of integers are exact.
    ASSERT_EQ(sent[i] + kept->residual()[i], 2.5f * gradient[i]) << i;
    ASSERT_EQ(kept->momentum()[i], 1.5f * gradient[i]) << i;
  }
}

TEST_F(UplinkTest, NaNNamesStepAndTensor) {
  Uplink uplink = MakeUplink();
  std::vector<float> gradient = Gradient();
  gradient.back() = std::numeric_limits<float>::quiet_NaN();
  const absl::Status status = uplink.Push(12, 0, gradient);
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  EXPECT_NE(status.message().find("step 12"), absl::string_view::npos);
  EXPECT_NE(status.message().find("fc1.weight"), absl::string_view::npos);
}

TEST_F(UplinkTest, BuffersTravelAsFloats) {
  Uplink uplink = MakeUplink();
  uint32_t buffer = 0;
  while (!plan_.IsBuffer(buffer)) ++buffer;
  std::vector<float> values(ElementCount(plan_.model.tensors[buffer].shape));
  std::iota(values.begin(), values.end(), 0.5f);
  ASSERT_TRUE(uplink.PushBuffer(9, buffer, values).ok());
  ASSERT_EQ(frames_.size(), plan_.tensors[buffer].block_count);
  const Frame& frame = frames_.begin()->second;
  EXPECT_EQ(frame.type, wire::BUFFERS);
  EXPECT_EQ(frame.step, 9u);
  ASSERT_EQ(frame.payload.size(), values.size() * sizeof(float));
  EXPECT_EQ(std::memcmp(frame.payload.bytes().data(), values.data(),
                        frame.payload.size()),
            0);
}

}  // namespace
}  // namespace terse
