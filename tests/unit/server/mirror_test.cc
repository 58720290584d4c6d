#include "server/mirror.h"

#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/limits.h"
#include "common/config/job.h"
#include "common/optimizer/schedule.h"
#include "gtest/gtest.h"
#include "server/shard.h"

namespace terse {
namespace {

constexpr char kJob[] = R"(
model: {mlp: {hidden: [6, 5], batch_norm: true}}
data: {kind: noise, shape: [1, 2, 3]}
optimizer: {kind: adam, learning_rate: 0.5}
quantize: {weights: ttq, ends: quantized}
train: {steps: 5, batch_size: 8}
cluster: {servers: 2, workers: 2, replicas: 1}
)";

const absl::Time kNow = absl::UnixEpoch();
constexpr Timeline kTimeline = {.steps_total = 5, .steps_per_epoch = 5};

// Shard 1, what it sends, and a mirror that is told of its blocks by hand.
class MirrorTest : public testing::Test {
 protected:
  MirrorTest() { Make({}); }

  void Make(const std::vector<std::string>& overrides) {
    job_ = *ParseJob(kJob, "mirror_test", overrides);
    plan_ = *MakePlan(job_);
    mirror_ = std::make_unique<Mirror>(job_, plan_, 1);
    shard_ = MakeShard();
    shard_->Start(kTimeline);
  }

  std::unique_ptr<Shard> MakeShard() {
    return std::make_unique<Shard>(
        job_, plan_, 1,
        ShardOutput{
            .send = [this](uint32_t, Frame frame) { sent_.push_back(frame); },
            .reduce =
                [this](uint64_t, const wire::BlockStatistics& part) {
                  asked_.push_back(part);
                },
            .mirror = [this](uint32_t block) { made_.push_back(block); }});
  }

  // What the mirror is sent: where it can, what made the version.
  Frame FrameOf(uint32_t block) {
    const auto kept = mirror_->kept().find(block);
    std::optional<uint64_t> before;
    if (kept != mirror_->kept().end()) before = kept->second.version;
    return shard_->MirrorFrame(block, before).value();
  }
  absl::Status Take(const Frame& frame) {
    if (frame.type == wire::MIRROR) {
      return mirror_->Take(frame.step, frame.block, frame.payload);
    }
    ++sums_;
    return mirror_->TakeSum(
        frame.step, frame.block,
        LearningRate(job_.optimizer(), frame.step - 1, 5, 5), frame.payload);
  }

  // Takes all blocks that wait for the mirror there and back, but the last
  // `without`.
  void MirrorMade(size_t without = 0) {
    // A version that is whole opens the next one.
    const std::vector<uint32_t> made = std::exchange(made_, {});
    for (size_t i = 0; i + without < made.size(); ++i) {
      const Frame frame = FrameOf(made[i]);
      const absl::Status taken = Take(frame);
      ASSERT_TRUE(taken.ok()) << taken;
      ASSERT_TRUE(shard_->OnMirrored(frame.step, made[i]).ok());
    }
  }

  // Merges what shards ask for as if this one held all.
  void Answer(Shard& shard, uint64_t version) {
    for (size_t i = 0; i < asked_.size(); ++i) {
      TensorStats merged;
      for (const auto& record : asked_[i].records()) {
        merged.Merge(FromRecord(record));
      }
      wire::BlockStatistics answer;
      answer.set_kind(asked_[i].kind());
      answer.set_tensor(asked_[i].tensor());
      *answer.add_records() = ToRecord(0, merged);
      const absl::Status known = shard.OnReduced(version, answer);
      ASSERT_TRUE(known.ok()) << known;
    }
    asked_.clear();
  }

  void PushAll(Shard& shard, uint64_t step) {
    wire::StepReport report;
    report.set_samples(8);
    for (uint32_t w = 0; w < 2; ++w) {
      ASSERT_TRUE(shard.OnStepReport(kNow, w, step, report).ok());
      for (const uint32_t block : shard.store().blocks()) {
        const std::vector<float> gradient(
            plan_.blocks[block].count,
            0.25f * static_cast<float>(1 + w + block % 3));
        const absl::Status pushed = shard.OnGradient(
            kNow, w, step, block,
            Buffer::CopyOf(std::as_bytes(std::span(gradient))));
        ASSERT_TRUE(pushed.ok()) << pushed;
      }
    }
  }

  Job job_;
  Plan plan_;
  std::unique_ptr<Mirror> mirror_;
  std::unique_ptr<Shard> shard_;
  std::vector<Frame> sent_;
  std::vector<wire::BlockStatistics> asked_;
  std::vector<uint32_t> made_;  // Blocks, not mirrored yet.
  int sums_ = 0;                // Mirrored as what made them.
};

TEST_F(MirrorTest, NothingIsPublishedBeforeItIsMirrored) {
  Answer(*shard_, 0);
  ASSERT_EQ(made_.size(), shard_->store().blocks().size());
  EXPECT_TRUE(sent_.empty());
  EXPECT_FALSE(mirror_->whole());
  MirrorMade();
  EXPECT_TRUE(mirror_->whole());
  EXPECT_EQ(sent_.size(), 2 * shard_->store().blocks().size());
  PushAll(*shard_, 0);
  Answer(*shard_, 1);
  sent_.clear();
  ASSERT_FALSE(made_.empty());
  EXPECT_EQ(shard_->version(), 0u);
  MirrorMade();
  EXPECT_EQ(shard_->version(), 1u);
  EXPECT_EQ(mirror_->oldest(), 1u);
}

// Whatever blocks the mirror has of the version that was being made when the
// shard was lost, another process comes to the same bits.
TEST_F(MirrorTest, AnotherProcessGoesOnWithWhatIsMirrored) {
  for (const char* const clip : {"0", "0.5"}) {
    for (size_t without = 0; without <= 2; ++without) {
      SCOPED_TRACE(absl::StrCat("clip ", clip, ", ", without, " missing"));
      Make({absl::StrCat("clip.global_norm=", clip)});
      made_.clear();
      Answer(*shard_, 0);
      made_ = shard_->store().blocks();
      ASSERT_GT(made_.size(), without);
      MirrorMade();
      for (uint64_t step = 0; step < 2; ++step) {
        PushAll(*shard_, step);
        // Twice: the norm of what the chain rule has made.
        for (int i = 0; i < 3; ++i) Answer(*shard_, step + 1);
        MirrorMade(step == 1 ? without : 0);
      }
      EXPECT_GT(sums_, 0);
      const auto expected = [&](uint32_t block) {
        return Hex(shard_->store().Digest(block));
      };
      const std::unique_ptr<Shard> other = MakeShard();
      asked_.clear();
      made_.clear();
      ASSERT_TRUE(other->Restore(kTimeline, *mirror_).ok());
      EXPECT_EQ(other->version(), without == 0 ? 2u : 1u);
      PushAll(*other, 1);
      // What is known is not asked for; the rest was made of all blocks.
      EXPECT_TRUE(without == 0 || asked_.empty());
      EXPECT_EQ(made_.size(), without);
      for (const uint32_t block : shard_->store().blocks()) {
        EXPECT_EQ(Hex(other->store().Digest(block)), expected(block));
        const auto state = other->store().State(block);
        const auto before = std::as_const(*shard_).store().State(block);
        for (size_t s = 0; s < state.size(); ++s) {
          EXPECT_TRUE(
              std::equal(state[s].begin(), state[s].end(), before[s].begin()));
        }
      }
    }
  }
}

TEST_F(MirrorTest, RefusesWhatIsNotItsOwn) {
  Answer(*shard_, 0);
  const uint32_t block = made_.front();
  Frame frame = *shard_->MirrorFrame(block);
  uint32_t foreign = 0;
  while (plan_.blocks[foreign].shard == 1) ++foreign;
  EXPECT_EQ(mirror_->Take(0, foreign, frame.payload).code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(mirror_->Take(0, 1u << 20, frame.payload).code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(mirror_->Take(0, block, Buffer()).code(),
            absl::StatusCode::kDataLoss);
  Buffer cut = Buffer::CopyOf(frame.payload.bytes());
  cut.Truncate(cut.size() - 1);
  EXPECT_EQ(mirror_->Take(0, block, cut).code(), absl::StatusCode::kDataLoss);
  EXPECT_TRUE(mirror_->Take(3, block, frame.payload).ok());
  EXPECT_EQ(mirror_->Take(2, block, frame.payload).code(),
            absl::StatusCode::kInvalidArgument);
}

TEST_F(MirrorTest, RefusesAGradientWithoutTheStateBefore) {
  Answer(*shard_, 0);
  MirrorMade();
  PushAll(*shard_, 0);
  for (int i = 0; i < 3; ++i) Answer(*shard_, 1);
  Frame frame = FrameOf(made_.front());
  ASSERT_EQ(frame.type, wire::MIRROR_SUM);
  const uint32_t block = frame.block;
  const auto take = [&](uint64_t version, const Buffer& payload) {
    return mirror_->TakeSum(version, block, 0.5f, payload).code();
  };
  EXPECT_EQ(take(2, frame.payload), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(take(1, Buffer()), absl::StatusCode::kDataLoss);
  Buffer cut = Buffer::CopyOf(frame.payload.bytes());
  cut.Truncate(cut.size() / 2);
  EXPECT_EQ(take(1, cut), absl::StatusCode::kDataLoss);
  wire::MirroredBlock empty;
  ASSERT_TRUE(empty.ParseFromArray(frame.payload.bytes().data(),
                                   static_cast<int>(frame.payload.size())));
  empty.clear_sum();
  EXPECT_EQ(take(1, Buffer::CopyOf(empty.SerializeAsString())),
            absl::StatusCode::kDataLoss);
  EXPECT_EQ(take(1, frame.payload), absl::StatusCode::kOk);
  EXPECT_EQ(take(1, frame.payload), absl::StatusCode::kInvalidArgument);
}

TEST_F(MirrorTest, VersionsThatDoNotFitTogetherAreRefused) {
  Answer(*shard_, 0);
  for (const uint32_t block : made_) {
    ASSERT_TRUE(mirror_
                    ->Take(block == made_.front() ? 2 : 0, block,
                           shard_->MirrorFrame(block)->payload)
                    .ok());
  }
  EXPECT_EQ(MakeShard()->Restore(kTimeline, *mirror_).code(),
            absl::StatusCode::kDataLoss);
}

TEST(MirrorQueueTest, HoldsBackWhatWouldFillALink) {
  MirrorQueue queue;
  for (uint32_t block = 0; block < 4; ++block) queue.Add(block);
  for (uint32_t block = 0; block < 2; ++block) {
    ASSERT_EQ(queue.Next(), block);
    queue.OnSent(block, kMirrorBytesUnderWayMax / 2 + 1);
  }
  EXPECT_EQ(queue.Next(), std::nullopt);
  EXPECT_FALSE(queue.OnAnswer(1).ok());
  EXPECT_TRUE(queue.OnAnswer(0).ok());
  EXPECT_EQ(queue.Next(), 2u);
}

}  // namespace
}  // namespace terse
