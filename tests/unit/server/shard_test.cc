#include "server/shard.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/config/job.h"
#include "gtest/gtest.h"

namespace terse {
namespace {

constexpr char kJob[] = R"(
model: {mlp: {hidden: [4], batch_norm: true}}
data: {kind: noise, shape: [1, 2, 3]}
optimizer: {kind: sgd, learning_rate: 1}
train: {steps: 5, batch_size: 8}
cluster: {servers: 1, workers: 3}
)";

const absl::Time kNow = absl::UnixEpoch();

class ShardTest : public testing::Test {
 protected:
  void Make(const std::vector<std::string>& overrides, uint32_t index = 0) {
    absl::StatusOr<Job> job = ParseJob(kJob, "shard_test", overrides);
    ASSERT_TRUE(job.ok()) << job.status();
    job_ = *job;
    absl::StatusOr<Plan> plan = MakePlan(job_);
    ASSERT_TRUE(plan.ok()) << plan.status();
    plan_ = *std::move(plan);
    shard_ = std::make_unique<Shard>(
        job_, plan_, index,
        ShardOutput{
            .send =
                [this](uint32_t worker, Frame frame) {
                  sent_[worker].push_back(std::move(frame));
                },
            .reduce =
                [this](uint64_t version, const wire::BlockStatistics& part) {
                  reduced_.emplace_back(version, part);
                },
            .opened =
                [this](uint64_t version) {
                  uint64_t newest_sent = 0;
                  for (const auto& [worker, frames] : sent_) {
                    for (const Frame& frame : frames) {
                      newest_sent = std::max(newest_sent, frame.step + 1);
                    }
                  }
                  opened_.emplace_back(version, newest_sent);
                }});
    shard_->Start({.steps_total = 5, .steps_per_epoch = 5});
  }

  absl::Status Report(uint32_t worker, uint64_t step, uint64_t samples = 8) {
    wire::StepReport report;
    report.set_samples(samples);
    report.set_barrier(step + 1 == barrier_);
    return shard_->OnStepReport(kNow, worker, step, report);
  }

  // A gradient that is `value` everywhere, as fp32.
  absl::Status Push(uint32_t worker, uint64_t step, uint32_t block,
                    float value) {
    const std::vector<float> gradient(plan_.blocks[block].count, value);
    return shard_->OnGradient(
        kNow, worker, step, block,
        Buffer::CopyOf(std::as_bytes(std::span(gradient))));
  }

  void PushAll(uint32_t worker, uint64_t step, float value,
               uint64_t samples = 8) {
    ASSERT_TRUE(Report(worker, step, samples).ok());
    for (uint32_t block : shard_->store().blocks()) {
      const absl::Status pushed = Push(worker, step, block, value);
      ASSERT_TRUE(pushed.ok()) << pushed;
    }
  }

  float First(uint32_t block) { return shard_->store().Weights(block)[0]; }

  Job job_;
  Plan plan_;
  std::unique_ptr<Shard> shard_;
  std::map<uint32_t, std::vector<Frame>> sent_;
  std::vector<std::pair<uint64_t, wire::BlockStatistics>> reduced_;
  // Versions, and how many had been sent to somebody when they were opened.
  std::vector<std::pair<uint64_t, uint64_t>> opened_;
  uint64_t barrier_ = 0;  // That workers tell of.
};

TEST_F(ShardTest, StartPublishesVersionZeroToEveryWorker) {
  Make({});
  for (uint32_t w = 0; w < 3; ++w) {
    ASSERT_EQ(sent_[w].size(), shard_->store().blocks().size());
    for (const Frame& frame : sent_[w]) {
      EXPECT_EQ(frame.type, wire::WEIGHTS);
      EXPECT_EQ(frame.step, 0u);
    }
  }
}

TEST_F(ShardTest, MeanIsWeightedBySamples) {
  Make({});
  const float before = First(0);
  PushAll(0, 0, 1.0f, 8);
  PushAll(1, 0, 2.0f, 4);
  PushAll(2, 0, 4.0f, 4);
  // (8*1 + 4*2 + 4*4) / 16 = 2, at learning rate 1.
  EXPECT_FLOAT_EQ(First(0), before - 2.0f);
  EXPECT_EQ(shard_->clock(0), 1u);
}

TEST_F(ShardTest, NothingHappensBeforeTheLastWorker) {
  Make({});
  const float before = First(0);
  PushAll(2, 0, 1.0f);
  PushAll(0, 0, 1.0f);
  EXPECT_EQ(First(0), before);
  const size_t published = sent_[0].size();
  PushAll(1, 0, 1.0f);
  EXPECT_EQ(sent_[0].size(), 2 * published);
  EXPECT_EQ(sent_[0].back().step, 1u);
}

TEST_F(ShardTest, ARepeatedPushCountsOnce) {
  Make({});
  const float before = First(0);
  PushAll(0, 0, 3.0f);
  PushAll(0, 0, 100.0f);  // The same step again.
  PushAll(1, 0, 3.0f);
  PushAll(2, 0, 3.0f);
  EXPECT_FLOAT_EQ(First(0), before - 3.0f);
  PushAll(0, 0, 100.0f);  // A step that is over.
  EXPECT_FLOAT_EQ(First(0), before - 3.0f);
  EXPECT_EQ(shard_->clock(0), 1u);
}

// The steps and blocks of the frames of `type`.
std::vector<std::pair<uint64_t, uint32_t>> Of(wire::FrameKind type,
                                              const std::vector<Frame>& all) {
  std::vector<std::pair<uint64_t, uint32_t>> found;
  for (const Frame& frame : all) {
    if (frame.type == type) found.emplace_back(frame.step, frame.block);
  }
  return found;
}

TEST_F(ShardTest, ARoundClosesWithoutItsBackupWorkerWhichIsToldOnce) {
  Make({"cluster.backup_workers=1", "compress.down=weights"});
  const float before = First(0);
  PushAll(0, 0, 1.0f);
  PushAll(2, 0, 3.0f);
  EXPECT_FLOAT_EQ(First(0), before - 2.0f);
  EXPECT_EQ(shard_->version(), 1u);
  PushAll(1, 0, 100.0f);
  PushAll(1, 0, 100.0f);  // Sent twice.
  PushAll(2, 0, 3.0f);    // Counted before.
  EXPECT_FLOAT_EQ(First(0), before - 2.0f);
  std::vector<std::pair<uint64_t, uint32_t>> late;
  for (uint32_t block : shard_->store().blocks()) late.emplace_back(0, block);
  EXPECT_EQ(Of(wire::LATE, sent_[1]), late);
  EXPECT_TRUE(Of(wire::LATE, sent_[0]).empty());
  EXPECT_TRUE(Of(wire::LATE, sent_[2]).empty());
}

TEST_F(ShardTest, RoundsWaitForABackupWorkerThatIsFarBehind) {
  Make({"cluster.backup_workers=1", "cluster.staleness_steps_max=1",
        "compress.down=weights"});
  for (uint64_t step : {0, 1}) {
    PushAll(0, step, 1.0f);
    PushAll(2, step, 1.0f);
  }
  EXPECT_EQ(shard_->version(), 1u);
  ASSERT_TRUE(Report(1, 0).ok());
  EXPECT_EQ(shard_->version(), 2u);
}

TEST_F(ShardTest, ARoundGoesOnWithoutAWorkerThatHasLeft) {
  Make({"cluster.on_worker_loss=continue", "compress.down=weights"});
  const float before = First(0);
  PushAll(0, 0, 1.0f);
  PushAll(2, 0, 3.0f);
  EXPECT_EQ(shard_->version(), 0u);
  ASSERT_TRUE(shard_->Leave(kNow, 1).ok());
  EXPECT_EQ(shard_->version(), 1u);
  EXPECT_FLOAT_EQ(First(0), before - 2.0f);
  shard_->Return(1);
  PushAll(0, 1, 1.0f);
  PushAll(2, 1, 1.0f);
  EXPECT_EQ(shard_->version(), 1u);
  PushAll(1, 1, 1.0f);
  EXPECT_EQ(shard_->version(), 2u);
}

TEST_F(ShardTest, TheFutureIsRefused) {
  Make({});
  EXPECT_TRUE(absl::IsInvalidArgument(Report(0, 1)));
  ASSERT_TRUE(Report(0, 0).ok());
  EXPECT_TRUE(absl::IsInvalidArgument(Push(0, 1, 0, 1.0f)));
}

TEST_F(ShardTest, AGradientNeedsItsReport) {
  Make({});
  EXPECT_TRUE(absl::IsInvalidArgument(Push(0, 0, 0, 1.0f)));
}

TEST_F(ShardTest, SampleCountsMustFitTheJob) {
  Make({});
  EXPECT_TRUE(absl::IsInvalidArgument(Report(0, 0, 0)));
  EXPECT_TRUE(absl::IsInvalidArgument(Report(0, 0, 9)));
}

TEST_F(ShardTest, ABadPayloadChangesNothing) {
  Make({});
  const float before = First(0);
  PushAll(0, 0, 1.0f);
  PushAll(1, 0, 1.0f);
  ASSERT_TRUE(Report(2, 0).ok());
  const absl::Status status =
      shard_->OnGradient(kNow, 2, 0, 0, Buffer::CopyOf("short"));
  EXPECT_TRUE(absl::IsDataLoss(status)) << status;
  EXPECT_NE(status.message().find("fc1.weight"), absl::string_view::npos);
  EXPECT_EQ(First(0), before);
  ASSERT_TRUE(Push(2, 0, 0, 1.0f).ok());
  EXPECT_FLOAT_EQ(First(0), before - 1.0f);
}

TEST_F(ShardTest, GlobalNormScalesEveryBlock) {
  Make({"clip.global_norm=1"});
  const float before = First(0);
  for (uint32_t w = 0; w < 3; ++w) PushAll(w, 0, 2.0f);
  const double norm = 2.0 * std::sqrt(plan_.ParameterCount());
  EXPECT_NEAR(First(0), before - 2.0 / norm, 1e-6);
}

TEST_F(ShardTest, GlobalNormOverShardsAsksTheCoordinator) {
  Make({"clip.global_norm=1", "cluster.servers=2"}, /*index=*/1);
  const uint32_t block = shard_->store().blocks()[0];
  const float before = First(block);
  for (uint32_t w = 0; w < 3; ++w) PushAll(w, 0, 2.0f);
  ASSERT_EQ(reduced_.size(), 1u);
  EXPECT_EQ(reduced_[0].second.records_size(),
            static_cast<int>(shard_->store().blocks().size()));
  EXPECT_EQ(First(block), before);
  wire::BlockStatistics merged;
  merged.set_kind(wire::BlockStatistics::GRADIENT_NORM);
  merged.add_records()->set_sum(16.0);
  EXPECT_TRUE(absl::IsInvalidArgument(shard_->OnReduced(7, merged)));
  ASSERT_TRUE(shard_->OnReduced(reduced_[0].first, merged).ok());
  EXPECT_FLOAT_EQ(First(block), before - 2.0f / 4.0f);
  EXPECT_TRUE(absl::IsInvalidArgument(shard_->OnReduced(1, merged)));
}

TEST_F(ShardTest, QuantizedWeightsAreClippedAndPublishedAsBits) {
  Make({"quantize.weights=binaryconnect", "quantize.update_scale=none"});
  for (uint32_t w = 0; w < 3; ++w) PushAll(w, 0, 5.0f);
  for (float weight : shard_->store().Weights(0)) EXPECT_EQ(weight, -1.0f);
  for (const Frame& frame : sent_[0]) {
    if (frame.step == 1 && frame.block == 0) {
      EXPECT_EQ(frame.payload.size(), (plan_.blocks[0].count + 7) / 8);
    }
  }
}

TEST_F(ShardTest, WeightsThatOverflowEndTheJob) {
  Make({"quantize.weights={kind: uniform, bits: 4}", "cluster.workers=1"});
  PushAll(0, 0, 3e38f);
  ASSERT_TRUE(Report(0, 1).ok());
  const absl::Status status = Push(0, 1, 0, 3e38f);
  EXPECT_TRUE(absl::IsInvalidArgument(status));
  EXPECT_NE(std::string(status.message()).find("weights of fc1.weight"),
            std::string::npos)
      << status;
}

TEST_F(ShardTest, AsyncAppliesEachGradientAndAnswersItsWorker) {
  Make({"cluster.mode=async"});
  const float before = First(0);
  const size_t published = sent_[1].size();
  PushAll(1, 0, 1.0f);
  EXPECT_FLOAT_EQ(First(0), before - 1.0f);
  EXPECT_EQ(sent_[1].size(), 2 * published);
  EXPECT_EQ(sent_[0].size(), published);
  PushAll(1, 1, 1.0f);
  PushAll(0, 0, 1.0f);
  EXPECT_FLOAT_EQ(First(0), before - 3.0f);
}

TEST_F(ShardTest, SspHoldsAFastWorkerBack) {
  Make({"cluster.mode=ssp", "cluster.staleness_steps_max=1"});
  const size_t published = sent_[0].size();
  PushAll(0, 0, 1.0f);
  EXPECT_EQ(sent_[0].size(), 2 * published);
  PushAll(0, 1, 1.0f);
  EXPECT_EQ(sent_[0].size(), 2 * published);  // Two ahead: waits.
  PushAll(1, 0, 1.0f);
  PushAll(2, 0, 1.0f);
  EXPECT_EQ(sent_[0].size(), 3 * published);
  EXPECT_EQ(sent_[0].back().step, 2u);
}

TEST_F(ShardTest, AsyncWorkersMeetAtABarrier) {
  Make({"cluster.mode=async"});
  barrier_ = 2;
  const size_t published = sent_[0].size();
  const float before = First(0);
  PushAll(0, 0, 1.0f);
  PushAll(0, 1, 1.0f);
  PushAll(1, 0, 1.0f);
  PushAll(1, 1, 1.0f);
  PushAll(2, 0, 1.0f);
  for (uint32_t w = 0; w < 3; ++w) {
    EXPECT_EQ(sent_[w].size(), 2 * published) << w;
  }
  PushAll(2, 1, 1.0f);
  EXPECT_FLOAT_EQ(First(0), before - 6.0f);
  for (uint32_t w = 0; w < 3; ++w) {
    EXPECT_EQ(sent_[w].size(), 3 * published) << w;
    EXPECT_EQ(sent_[w].back().step, 2u) << w;
  }
  PushAll(0, 2, 1.0f);  // And then each by itself again.
  EXPECT_EQ(sent_[0].size(), 4 * published);
}

TEST_F(ShardTest, AsyncVersionsOpenBeforeAnyoneCanBeginThem) {
  Make({"cluster.mode=async"});
  PushAll(1, 0, 1.0f);
  PushAll(1, 1, 1.0f);
  PushAll(0, 0, 1.0f);
  // When version v + 1 opens, versions before v have been sent.
  const std::vector<std::pair<uint64_t, uint64_t>> expected = {
      {1, 0}, {2, 1}, {3, 2}};
  EXPECT_EQ(opened_, expected);
}

TEST_F(ShardTest, BuffersAreAveragedInEvaluation) {
  Make({});
  const uint32_t block = plan_.BlocksOf(0, /*buffers=*/true)[0];
  const size_t count = plan_.blocks[block].count;
  EXPECT_TRUE(absl::IsInvalidArgument(
      shard_->OnBuffers(0, 3, block, Buffer::Allocate(count * 4))));
  for (uint64_t step = 0; step < 5; ++step) {
    for (uint32_t w = 0; w < 3; ++w) PushAll(w, step, 1.0f);
  }
  for (uint32_t w = 0; w < 3; ++w) {
    sent_[w].clear();
    const std::vector<float> values(count, static_cast<float>(w * w));
    for (int repeat = 0; repeat < 2; ++repeat) {
      ASSERT_TRUE(
          shard_
              ->OnBuffers(w, 5, block,
                          Buffer::CopyOf(std::as_bytes(std::span(values))))
              .ok());
    }
  }
  for (uint32_t w = 0; w < 3; ++w) {
    ASSERT_EQ(sent_[w].size(), 1u) << w;
    EXPECT_EQ(sent_[w][0].type, wire::MEAN_BUFFERS);
    float mean;
    std::memcpy(&mean, sent_[w][0].payload.bytes().data(), sizeof(mean));
    EXPECT_FLOAT_EQ(mean, 5.0f / 3.0f);
  }
}

// A block whose levels share a scale: the first step goes with own scales, the
// next ones with the largest of the step before, and the mean is a whole number
// of steps of it.
TEST_F(ShardTest, SharedScalesAreAgreedOneStepAhead) {
  Make({"compress.gradient={kind: terngrad, clip_sigmas: 0, scale: shared}",
        "compress.small_tensor_elements=0"});
  const LevelCodec& codec = *plan_.tensors[0].level_codec;
  const size_t count = plan_.blocks[0].count;
  const auto push = [&](uint32_t worker, uint64_t step, float value) {
    const std::vector<float> values(count, value);
    Buffer payload = Buffer::Allocate(codec.MaxEncodedBytes(count));
    const float scale = shard_->store().SharedScale(0);
    const auto bytes =
        step == 0
            ? codec.Encode(values, {}, payload.mutable_bytes())
            : codec.EncodeShared(values, {}, scale, payload.mutable_bytes());
    ASSERT_TRUE(bytes.ok());
    const absl::Status pushed =
        shard_->OnGradient(kNow, worker, step, 0, std::move(payload));
    ASSERT_TRUE(pushed.ok()) << pushed;
  };
  for (uint32_t w = 0; w < 3; ++w) ASSERT_TRUE(Report(w, 0).ok());
  EXPECT_EQ(shard_->store().SharedScale(0), 0);
  float before = First(0);
  for (uint32_t w = 0; w < 3; ++w) {
    push(w, 0, static_cast<float>(w + 1));
    if (HasFatalFailure()) return;
  }
  EXPECT_FLOAT_EQ(First(0), before - 2);  // (1 + 2 + 3) / 3.
  EXPECT_EQ(shard_->store().SharedScale(0), 3);
  const Frame& sum = sent_[0].back();
  EXPECT_EQ(sum.type, wire::SUMS);
  EXPECT_EQ(sum.step, 1u);
  EXPECT_EQ(SumNextScale(sum.payload.bytes()), 3);
  EXPECT_EQ(SumFactor(sum.payload.bytes()), 1);
}

TEST_F(ShardTest, LevelsOfFewerSamplesAreRefused) {
  Make({"compress.gradient={kind: terngrad, scale: shared}",
        "compress.small_tensor_elements=0"});
  ASSERT_TRUE(Report(1, 0, 5).ok());
  const size_t count = plan_.blocks[0].count;
  Buffer payload =
      Buffer::Allocate(plan_.tensors[0].codec->MaxEncodedBytes(count));
  const std::vector<float> values(count, 1.0f);
  ASSERT_TRUE(
      plan_.tensors[0].codec->Encode(values, {}, payload.mutable_bytes()).ok());
  EXPECT_TRUE(
      absl::IsInvalidArgument(shard_->OnGradient(kNow, 1, 0, 0, payload)));
}

TEST_F(ShardTest, BuffersOfVersionsToComeAreRefused) {
  Make({});
  shard_ = nullptr;
  shard_ = std::make_unique<Shard>(job_, plan_, 0,
                                   ShardOutput{.send = [](uint32_t, Frame) {}});
  shard_->Start(
      {.steps_total = 5, .steps_per_epoch = 1, .evaluate_every_steps = 1});
  uint32_t block = 0;
  while (!plan_.IsBuffer(plan_.blocks[block].tensor)) ++block;
  const Buffer payload =
      Buffer::Allocate(plan_.blocks[block].count * sizeof(float));
  EXPECT_TRUE(shard_->OnBuffers(0, 1, block, payload).ok());
  for (const uint64_t version : {2, 3, 5, 6, 1 << 30}) {
    EXPECT_TRUE(
        absl::IsInvalidArgument(shard_->OnBuffers(0, version, block, payload)))
        << version;
  }
}

}  // namespace
}  // namespace terse
