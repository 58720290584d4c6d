// With cluster.replicas a job that loses a server goes on with what another one
// keeps of it: nothing is computed twice, no disk is read, and the job ends
// with the bits of one that lost nothing.
#include <filesystem>
#include <string>
#include <vector>

#include "tests/sim/fixture.h"

namespace terse {
namespace {

using ::testing::HasSubstr;

Job MakeJob(std::vector<std::string> overrides) {
  overrides.insert(overrides.begin(), "cluster.replicas=1");
  return JobOf(kLossyJob, overrides);
}

TEST(ReplicasTest, MirroringChangesNothing) {
  for (const auto& overrides : JobsWithState()) {
    SCOPED_TRACE(overrides.empty() ? "" : overrides.back());
    Job job = MakeJob(overrides);
    const SimJobResult mirrored = RunJob(job);
    job.mutable_cluster()->set_replicas(0);
    ExpectSame(mirrored, RunJob(job));
  }
}

TEST(ReplicasTest, ALostServerCostsNoReplay) {
  for (const auto& overrides : JobsWithState()) {
    const Job job = MakeJob(overrides);
    const SimJobResult calm = RunJob(job);
    ASSERT_TRUE(calm.status.ok()) << calm.status;
    uint64_t under_way = 0;
    for (int part = 1; part <= 40; ++part) {
      SCOPED_TRACE(absl::StrCat(overrides.empty() ? "" : overrides.back(),
                                ", at ", part, "/40"));
      SimJobOptions options;
      options.network.seed = part;
      options.losses = {
          {.process = uint32_t(part) % 3, .after = PartOf(calm, part / 40.0)}};
      options.replace_after = absl::Milliseconds(300);
      options.moves = part % 4 < 2;
      const SimJobResult result = RunJob(job, options);
      if (!result.status.ok() && result.steps == 0) continue;
      ++under_way;
      ExpectSame(result, calm);
    }
    EXPECT_GE(under_way, 24u);
  }
}

TEST(ReplicasTest, OneAfterTheOtherMayBeLost) {
  const Job job = MakeJob({"clip.global_norm=0.5"});
  const SimJobResult calm = RunJob(job);
  for (int part = 6; part <= 16; ++part) {
    SCOPED_TRACE(part);
    SimJobOptions options;
    options.network.seed = part;
    for (uint32_t i = 0; i < 6; ++i) {
      options.losses.push_back(
          {.process = (part + i) % 3,
           .after = PartOf(calm, part / 20.0) + absl::Milliseconds(900) * i});
    }
    options.replace_after = absl::Milliseconds(300);
    options.moves = true;
    ExpectSame(RunJob(job, options), calm);
  }
}

// Its last version counts everywhere, but it has not heard so.
TEST(ReplicasTest, AServerKilledAtTheVeryEndComesBackToAFinishedJob) {
  const Job job = MakeJob({});
  const SimJobResult calm = RunJob(job);
  uint64_t replaced = 0;
  for (int per_mille = 960; per_mille <= 1100; per_mille += 2) {
    SCOPED_TRACE(per_mille);
    SimJobOptions options;
    options.network.seed = static_cast<uint64_t>(per_mille);
    // Without its coordinator a job has no end.
    options.losses = {
        {.process = per_mille % 4 == 0 && per_mille < 980 ? 0u : 1u,
         .after = PartOf(calm, per_mille / 1000.0)}};
    options.replace_after = absl::Milliseconds(300);
    const SimJobResult result = RunJob(job, options);
    for (const absl::Status& status : result.statuses) {
      EXPECT_TRUE(status.ok()) << status;
    }
    ExpectSame(result, calm);
    replaced += result.statuses.size() == 6;
  }
  EXPECT_GE(replaced, 30u);
}

TEST(ReplicasTest, ACutWireToTheMirrorCostsNothing) {
  const Job job = MakeJob({});
  const SimJobResult calm = RunJob(job);
  for (int part = 4; part <= 16; ++part) {
    SCOPED_TRACE(part);
    SimJobOptions options;
    options.network.seed = part;
    // Shard 2 is mirrored at the coordinator, and loses both connections to it.
    options.troubles = {{.after = PartOf(calm, part / 16.0),
                         .server = static_cast<uint32_t>(part) % 3}};
    ExpectSame(RunJob(job, options), calm);
  }
}

// Another process comes in the place of the one that fetches its state, too.
TEST(ReplicasTest, ACoordinatorMayBeLostAgainAndAgain) {
  for (const char* servers : {"2", "3"}) {
    const Job job = MakeJob({absl::StrCat("cluster.servers=", servers)});
    const SimJobResult calm = RunJob(job);
    uint64_t under_way = 0;
    for (int part = 4; part <= 24; ++part) {
      SCOPED_TRACE(absl::StrCat(servers, " servers, ", part));
      SimJobOptions options;
      options.network.seed = part;
      for (uint32_t i = 0; i < 4; ++i) {
        options.losses.push_back({.process = 0,
                                  .after = PartOf(calm, part / 40.0) +
                                           absl::Milliseconds(301 + part) * i});
      }
      options.replace_after = absl::Milliseconds(300);
      const SimJobResult result = RunJob(job, options);
      if (!result.status.ok() && result.steps == 0) continue;
      ++under_way;
      ExpectSame(result, calm);
    }
    EXPECT_GE(under_way, 8u);
  }
}

TEST(ReplicasTest, AWorkerMayBeLostWithTheCoordinator) {
  const Job job =
      MakeJob({"cluster.rejoin_timeout_seconds=20", "compress.down=weights"});
  const SimJobResult calm = RunJob(job);
  for (int part = 4; part <= 36; ++part) {
    SCOPED_TRACE(part);
    SimJobOptions options;
    options.network.seed = part;
    options.losses = {{.process = 0, .after = PartOf(calm, part / 40.0)},
                      {.process = 4,
                       .after = PartOf(calm, part / 40.0) +
                                absl::Milliseconds(100) * (part % 5 - 2)}};
    options.replace_after = absl::Milliseconds(300);
    const SimJobResult result = RunJob(job, options);
    // It may ask for a version that went with the coordinator's process.
    if (ExitCodeOf(result.status) == ExitCode::kPeerNeverCame) continue;
    ASSERT_TRUE(result.status.ok()) << result.status;
    EXPECT_EQ(result.report["weights_sha256"], calm.report["weights_sha256"]);
  }
}

TEST(ReplicasTest, ACoordinatorLostWithItsMirrorEndsTheRun) {
  const Job job = MakeJob({});
  const SimJobResult calm = RunJob(job);
  SimJobOptions options;
  const absl::Duration after = PartOf(calm, 0.5);
  options.losses = {{.process = 0, .after = after},
                    {.process = 1, .after = after}};
  options.replace_after = absl::Milliseconds(300);
  const SimJobResult result = RunJob(job, options);
  EXPECT_EQ(ExitCodeOf(result.status), ExitCode::kPeerNeverCame);
  EXPECT_LT(result.seconds, 60);
}

TEST(ReplicasTest, APrimaryAndItsMirrorTogetherEndTheRun) {
  const Job job = MakeJob({});
  const SimJobResult calm = RunJob(job);
  SimJobOptions options;
  const absl::Duration after = PartOf(calm, 0.5);
  options.losses = {{.process = 1, .after = after},
                    {.process = 2, .after = after}};
  options.replace_after = absl::Milliseconds(300);
  const SimJobResult result = RunJob(job, options);
  EXPECT_EQ(ExitCodeOf(result.status), ExitCode::kPeerNeverCame);
  EXPECT_THAT(std::string(result.status.message()),
              HasSubstr("not all of it is mirrored"));
}

TEST(ReplicasTest, APlaceIsKeptForALimitedTime) {
  ExpectPlaceKeptForALimitedTime(MakeJob({}), 2, "shard 2 was lost");
  ExpectPlaceKeptForALimitedTime(MakeJob({}), 0, "the coordinator was lost");
}

class ReplicasFolderTest : public WithFolder {};

TEST_F(ReplicasFolderTest, CheckpointsAreGivenUpOrWhole) {
  const Job job =
      MakeJob({"checkpoint.every_steps=2", "checkpoint.keep_last=100",
               "compress.gradient={kind: topk, ratio: 0.05, "
               "error_feedback: true}"});
  SimJobOptions options;
  options.checkpoint_directory = (folder_ / "calm").string();
  const SimJobResult calm = RunJob(job, options);
  ASSERT_TRUE(calm.status.ok()) << calm.status;
  for (int part = 4; part <= 20; ++part) {
    SCOPED_TRACE(part);
    options.checkpoint_directory = (folder_ / absl::StrCat(part)).string();
    options.network.seed = part;
    options.losses = {
        {.process = uint32_t(part) % 3, .after = PartOf(calm, part / 20.0)}};
    options.replace_after = absl::Milliseconds(300);
    const SimJobResult result = RunJob(job, options);
    if (!result.status.ok() && result.steps == 0) continue;
    ExpectSame(result, calm);
    // The last is there, and none is broken.
    std::vector<std::string> passed_over;
    const auto last =
        NewestCheckpoint(options.checkpoint_directory, passed_over);
    ASSERT_TRUE(last.has_value());
    EXPECT_EQ(last->manifest.version, 12u);
    for (const auto& entry :
         std::filesystem::directory_iterator(options.checkpoint_directory)) {
      if (!std::filesystem::exists(entry.path() / "manifest.json")) continue;
      EXPECT_TRUE(ReadCheckpoint(entry.path().string()).ok()) << entry.path();
    }
  }
}

// The step that waits for them has no end that could be kept.
TEST_F(ReplicasFolderTest, ASignalDoesNotWaitForThoseWhoAreLost) {
  const Job job = MakeJob({});
  const double half = RunJob(job).seconds / 2;
  for (const uint32_t process : {0, 2, 4}) {
    SCOPED_TRACE(process);
    SimJobOptions options;
    options.checkpoint_directory = folder_.string();
    options.losses = {{.process = process, .after = absl::Seconds(half)}};
    options.stop_after = absl::Seconds(half + 1);
    options.stop_with_checkpoint = true;
    const SimJobResult result = RunJob(job, options);
    EXPECT_EQ(ExitCodeOf(result.status), ExitCode::kTerminated);
    EXPECT_LT(result.seconds, half + 10);
  }
}

}  // namespace
}  // namespace terse
