// What the simulator does to jobs and sees of them.
#include <string>
#include <utility>
#include <vector>

#include "tests/sim/fixture.h"
#include "tests/sim/sim_network.h"

namespace terse {
namespace {

struct Recorder final : FrameSink {
  absl::Status OnFrame(PeerId, Frame frame) override {
    frames.push_back(std::move(frame));
    return absl::OkStatus();
  }
  void OnPeerLost(PeerId, const absl::Status& reason) override {
    lost.push_back(reason);
  }
  std::vector<Frame> frames;
  std::vector<absl::Status> lost;
};

TEST(NetworkFaultsTest, OnAConnectionOnlyMoreUrgentFramesOvertake) {
  SimNetwork network({});
  Recorder from;
  Recorder to;
  const auto listener = network.MakeLink("there", to);
  const auto link = network.MakeLink("", from);
  const PeerId peer = link->Connect("there", absl::Seconds(1));
  for (uint64_t i = 0; i < 300; ++i) {
    Frame frame = MakeFrame(1, i, 0, Buffer());
    frame.urgency = i % 3;
    ASSERT_TRUE(link->Send(peer, frame).ok());
  }
  while (network.Step()) {
  }
  ASSERT_EQ(to.frames.size(), 300u);
  uint64_t next[3] = {0, 1, 2};
  for (const Frame& frame : to.frames) {
    EXPECT_EQ(frame.step, next[frame.step % 3]);
    next[frame.step % 3] += 3;
  }
  EXPECT_GT(network.overtakes_within(), 50u);
}

TEST(NetworkFaultsTest, BothEndsHearOfADamagedFrame) {
  SimDamage sum;
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    SimNetwork network({.seed = seed, .damaged_per_million = 1'000'000});
    Recorder from;
    Recorder to;
    const auto listener = network.MakeLink("there", to);
    const auto link = network.MakeLink("", from);
    const PeerId peer = link->Connect("there", absl::Seconds(1));
    const std::vector<std::byte> payload(seed);
    const Frame frame = MakeFrame(1, seed, 2, Buffer::CopyOf(payload));
    ASSERT_TRUE(link->Send(peer, frame).ok());
    while (network.Step()) {
    }
    const SimDamage& damage = network.damage();
    EXPECT_EQ(damage.frames, 1u);
    EXPECT_EQ(damage.taken, 0u);
    EXPECT_EQ(to.frames.size(), 0u);
    sum.found += damage.found;
    sum.unread += damage.unread;
    ASSERT_EQ(to.lost.size(), damage.found);
    ASSERT_EQ(from.lost.size(), damage.found);
    if (damage.unread > 0) continue;  // For want of the bytes it announces.
    // A length beyond what the peer may send is another error.
    EXPECT_TRUE(absl::IsDataLoss(to.lost[0]) ||
                absl::IsResourceExhausted(to.lost[0]))
        << to.lost[0];
    EXPECT_TRUE(absl::IsUnavailable(from.lost[0])) << from.lost[0];
    EXPECT_EQ(link->Send(peer, frame).code(), absl::StatusCode::kNotFound);
  }
  EXPECT_EQ(sum.found + sum.unread, 200u);
  EXPECT_GT(sum.found, 180u);
}

TEST(NetworkFaultsTest, FramesOvertakeWhereLinksLetThem) {
  const Job job = JobOf(kLossyJob, {});
  const SimJobResult result = RunJob(job);
  ASSERT_TRUE(result.status.ok()) << result.status;
  // Of the same connection the more urgent ones, of others any.
  EXPECT_GT(result.overtakes_within, 10u);
  EXPECT_GT(result.overtakes_across, result.frames / 10);
  EXPECT_EQ(result.damage.frames, 0u);
}

TEST(NetworkFaultsTest, ADamagedFrameIsFoundAndCostsAConnection) {
  for (const auto& overrides : JobsWithState()) {
    const Job job = JobOf(kLossyJob, overrides);
    const SimJobResult calm = RunJob(job);
    ASSERT_TRUE(calm.status.ok()) << calm.status;
    SimDamage sum;
    uint64_t survived = 0;
    for (uint64_t seed = 1; seed <= 40; ++seed) {
      SCOPED_TRACE(absl::StrCat(overrides.empty() ? "" : overrides.back(),
                                ", network seed ", seed));
      SimJobOptions options;
      options.network.seed = seed;
      options.network.damaged_per_million = 1'000'000 / calm.frames;
      const SimJobResult result = RunJob(job, options);
      EXPECT_EQ(result.damage.taken, 0u);
      EXPECT_EQ(result.damage.found + result.damage.unread,
                result.damage.frames);
      sum.frames += result.damage.frames;
      sum.found += result.damage.found;
      // Between servers, and before the start, it is a loss like others.
      if (ExitCodeOf(result.status) == ExitCode::kPeerNeverCame) continue;
      ExpectSame(result, calm);
      survived += result.damage.frames > 0;
    }
    EXPECT_GE(sum.found, 20u);
    EXPECT_GE(survived, 10u);
  }
}

// Which the jobs themselves end with an error about; see ResidualCheck.
TEST(ResidualTest, GradientsAndResidualsAddUpInEveryStep) {
  for (const char* codec :
       {"kind: topk, ratio: 0.05",
        "kind: topk, ratio: 0.05, momentum_correction: 0.9, "
        "local_clip_norm: 0.5",
        "kind: topk, ratio: 0.05, momentum_correction: 0.9, "
        "momentum_masking: false, residual_decay: 0.8",
        "kind: topk, ratio: 0.05, values: terngrad",
        "kind: threshold, threshold: 0.05", "kind: randomk, ratio: 0.1",
        "kind: sign", "kind: onebit", "kind: fp16", "kind: natural",
        "kind: terngrad, scale: shared", "kind: qsgd, levels: 3",
        "kind: dorefa, bits: 2, scale: shared", "kind: term",
        "kind: sign, scale: given, scale_max: 0.02", "kind: powersgd, rank: 2",
        "kind: powersgd, residual_decay: 0.8"}) {
    SCOPED_TRACE(codec);
    const Job job = JobOf(
        kLossyJob,
        {absl::StrCat("compress.gradient={", codec, ", error_feedback: true}"),
         "compress.down=auto", "quantize.weights=none"});
    const SimJobResult result = RunJob(job);
    EXPECT_TRUE(result.status.ok()) << result.status;
    // The three weights of three workers, in 11 steps at least.
    EXPECT_GE(result.residuals_checked, 3 * 11 * (81 * 40 + 40 * 24 + 24 * 10));
  }
}

}  // namespace
}  // namespace terse
