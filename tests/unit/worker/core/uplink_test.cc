#include "worker/uplink.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <map>
#include <numeric>
#include <string>
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
  void SetUp() override { UseGradient(""); }

  // Another codec than kJob's, unless empty.
  void UseGradient(const std::string& gradient) {
    std::vector<std::string> overrides;
    if (!gradient.empty()) overrides = {"compress.gradient=" + gradient};
    const absl::StatusOr<Job> job = ParseJob(kJob, "uplink_test", overrides);
    ASSERT_TRUE(job.ok()) << job.status();
    absl::StatusOr<Plan> plan = MakePlan(*job);
    ASSERT_TRUE(plan.ok()) << plan.status();
    plan_ = *std::move(plan);
    ASSERT_EQ(plan_.model.tensors[0].name, "fc1.weight");
    ASSERT_GT(plan_.tensors[0].block_count, 1u);
  }

  Uplink MakeUplink(uint32_t threads = 1) {
    return Uplink(plan_, /*seed=*/1, /*worker=*/0, threads,
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
  Uplink uplink(plan_, 1, 0, /*threads=*/2, [&](uint32_t, Frame frame) {
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

// What a step of one tensor decodes to.
std::vector<float> SentOf(const Plan& plan,
                          const std::map<uint32_t, Frame>& frames,
                          size_t elements) {
  std::vector<float> sent(elements);
  for (const auto& [id, frame] : frames) {
    const BlockSpec& block = plan.blocks[id];
    plan.tensors[0].codec->DecodeAdd(
        frame.payload.bytes(), 1,
        std::span(sent).subspan(block.first_index, block.count));
  }
  return sent;
}

TEST_F(UplinkTest, TheLargestOfTheTensorAreSentWhateverTheirBlock) {
  for (const char* feedback : {"false", "true"}) {
    UseGradient(std::string("{kind: topk, ratio: 0.01, per: tensor, "
                            "error_feedback: ") +
                feedback + "}");
    Uplink uplink = MakeUplink();
    // Magnitudes fall towards the end, so that the last block has few.
    std::vector<float> gradient = Gradient();
    for (size_t i = 0; i < gradient.size(); ++i) {
      gradient[i] /= static_cast<float>(1 + i / 50000);
    }
    frames_.clear();
    ASSERT_TRUE(uplink.Push(0, 0, gradient).ok());
    const auto sent = SentOf(plan_, frames_, gradient.size());
    const size_t k = gradient.size() / 100;
    EXPECT_EQ(gradient.size() - std::count(sent.begin(), sent.end(), 0.0f), k);
    std::vector<float> magnitudes;
    for (float value : gradient) magnitudes.push_back(std::fabs(value));
    std::nth_element(magnitudes.begin(), magnitudes.begin() + k - 1,
                     magnitudes.end(), std::greater<>());
    for (size_t i = 0; i < gradient.size(); ++i) {
      if (sent[i] != 0) {
        ASSERT_EQ(sent[i], gradient[i]);
      }
      if (std::fabs(gradient[i]) > magnitudes[k - 1]) {
        ASSERT_NE(sent[i], 0) << i;
      }
    }
  }
}

TEST_F(UplinkTest, AllBlocksOfATensorHaveItsScale) {
  UseGradient("{kind: terngrad, clip_sigmas: 0, per: tensor}");
  Uplink uplink = MakeUplink();
  std::vector<float> gradient(Gradient().size(), 0.5f);
  gradient[3] = -4.0f;
  ASSERT_TRUE(uplink.Push(0, 0, gradient).ok());
  for (const auto& [id, frame] : frames_) {
    float scale;
    std::memcpy(&scale, frame.payload.bytes().data(), sizeof(scale));
    EXPECT_EQ(scale, 4.0f);
  }
}

TEST_F(UplinkTest, TheRatioWarmsUpEpochByEpoch) {
  UseGradient(
      "{kind: topk, ratio: 0.001, warmup_ratios: [0.25, 0.0625], "
      "error_feedback: true}");
  Uplink uplink = MakeUplink();
  uplink.SetStepsPerEpoch(3);
  for (const auto& [step, ratio] : std::map<uint64_t, double>{
           {0, 0.25}, {2, 0.25}, {3, 0.0625}, {5, 0.0625}, {6, 0.001}}) {
    frames_.clear();
    ASSERT_TRUE(uplink.Push(step, 0, Gradient()).ok());
    for (const auto& [id, frame] : frames_) {
      uint32_t kept;
      std::memcpy(&kept, frame.payload.bytes().data(), sizeof(kept));
      EXPECT_NEAR(kept, ratio * plan_.blocks[id].count, 1) << step;
    }
  }
}

TEST_F(UplinkTest, WhatIsNotFiniteCountsAsZeroIfItIsTo) {
  std::vector<float> gradient = Gradient();
  gradient[1] = std::numeric_limits<float>::quiet_NaN();
  gradient[gradient.size() - 1] = std::numeric_limits<float>::infinity();
  UseGradient("{kind: fp16, error_feedback: true, nan: zero}");
  Uplink uplink = MakeUplink();
  ASSERT_TRUE(uplink.Push(0, 0, gradient).ok());
  const auto sent = SentOf(plan_, frames_, gradient.size());
  EXPECT_EQ(sent[1], 0);
  EXPECT_EQ(sent[gradient.size() - 1], 0);
  EXPECT_EQ(sent[2], gradient[2]);
  EXPECT_EQ(uplink.Residual(0)[1], 0);
}

TEST_F(UplinkTest, SendsTheSameWithAnyNumberOfThreads) {
  const auto pushed = [&](uint32_t threads) {
    frames_.clear();
    Uplink uplink = MakeUplink(threads);
    // Later payloads depend on the residuals of the earlier.
    for (uint64_t step = 0; step < 3; ++step) {
      EXPECT_TRUE(uplink.Push(step, 0, Gradient()).ok());
    }
    std::map<uint32_t, std::vector<std::byte>> payloads;
    for (const auto& [block, frame] : frames_) {
      const auto bytes = frame.payload.bytes();
      payloads[block].assign(bytes.begin(), bytes.end());
    }
    return payloads;
  };
  const auto expected = pushed(1);
  EXPECT_EQ(expected.size(), plan_.tensors[0].block_count);
  for (const uint32_t threads : {2u, 3u, 8u}) {
    EXPECT_EQ(pushed(threads), expected) << threads;
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

TEST_F(UplinkTest, WhatDidNotCountGoesBackIntoTheResidual) {
  Uplink uplink = MakeUplink();
  const std::vector<float> gradient = Gradient();
  ASSERT_TRUE(uplink.Push(0, 0, gradient).ok());
  // All but the first block's.
  for (const auto& [block, frame] : frames_) {
    if (block > 0) uplink.TakeBack(block, frame.payload);
  }
  const size_t counted = plan_.blocks[0].count;
  const std::span<const float> residual = uplink.Residual(0);
  EXPECT_TRUE(std::equal(gradient.begin() + counted, gradient.end(),
                         residual.begin() + counted));
  EXPECT_FALSE(std::equal(gradient.begin(), gradient.begin() + counted,
                          residual.begin()));
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
  ASSERT_TRUE(uplink.PushBuffer(wire::BUFFERS, 9, buffer, values).ok());
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
