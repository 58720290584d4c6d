#include "server/round.h"

#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace terse {
namespace {

using ::testing::HasSubstr;

const absl::Time kNow = absl::UnixEpoch() + absl::Hours(1);

Cluster MakeCluster(Cluster::Mode mode, uint32_t workers) {
  Cluster cluster;
  cluster.set_mode(mode);
  cluster.set_workers(workers);
  return cluster;
}

Job MakeJob(Cluster::Mode mode, uint32_t workers) {
  Job job;
  *job.mutable_cluster() = MakeCluster(mode, workers);
  return job;
}

TEST(DecideRoundTest, BspWaitsForEveryWorker) {
  const RoundOptions options = MakeRoundOptions(MakeJob(Cluster::BSP, 3));
  for (uint32_t contributions : {0u, 1u, 2u}) {
    const RoundDecision decision =
        DecideRound(kNow,
                    {.step = 7,
                     .contributions = contributions,
                     .live_workers = 3,
                     .opened = kNow - absl::Hours(1)},
                    options);
    EXPECT_EQ(decision.action, RoundAction::kWait) << contributions;
    EXPECT_THAT(decision.reason, HasSubstr("step 7"));
  }
  EXPECT_EQ(DecideRound(kNow, {.contributions = 3, .live_workers = 3}, options)
                .action,
            RoundAction::kClose);
}

TEST(DecideRoundTest, SspAndAsyncCloseWithTheFirst) {
  for (Cluster::Mode mode : {Cluster::SSP, Cluster::ASYNC}) {
    const RoundOptions options = MakeRoundOptions(MakeJob(mode, 3));
    EXPECT_EQ(
        DecideRound(kNow, {.contributions = 0, .live_workers = 3}, options)
            .action,
        RoundAction::kWait);
    EXPECT_EQ(
        DecideRound(kNow, {.contributions = 1, .live_workers = 3}, options)
            .action,
        RoundAction::kClose);
  }
}

TEST(DecideRoundTest, BackupWorkersCloseWithTheQuorum) {
  Job job = MakeJob(Cluster::BSP, 4);
  job.mutable_cluster()->set_backup_workers(1);
  job.mutable_cluster()->set_staleness_steps_max(2);
  const RoundOptions options = MakeRoundOptions(job);
  EXPECT_EQ(DecideRound(kNow, {.contributions = 2, .live_workers = 4}, options)
                .action,
            RoundAction::kWait);
  EXPECT_EQ(
      DecideRound(kNow, {.contributions = 3, .live_workers = 4, .lag_steps = 2},
                  options)
          .action,
      RoundAction::kClose);
}

TEST(DecideRoundTest, BackupWorkersAreNotLeftTooFarBehind) {
  const RoundOptions options = {.quorum = 3, .lag_steps_max = 2};
  const RoundDecision decision = DecideRound(
      kNow, {.contributions = 3, .live_workers = 4, .lag_steps = 3}, options);
  EXPECT_EQ(decision.action, RoundAction::kWait);
  EXPECT_THAT(decision.reason, HasSubstr("3 steps behind"));
}

TEST(DecideRoundTest, AJobMayGoOnWithThoseThatAreLeft) {
  Job job = MakeJob(Cluster::BSP, 4);
  job.mutable_cluster()->set_on_worker_loss(Cluster::CONTINUE);
  const RoundOptions options = MakeRoundOptions(job);
  EXPECT_EQ(DecideRound(kNow, {.contributions = 2, .live_workers = 3}, options)
                .action,
            RoundAction::kWait);
  EXPECT_EQ(DecideRound(kNow, {.contributions = 3, .live_workers = 3}, options)
                .action,
            RoundAction::kClose);
}

TEST(DecideRoundTest, TooFewWorkersLeftAborts) {
  const RoundOptions options = {.quorum = 4};
  const RoundDecision decision =
      DecideRound(kNow, {.contributions = 2, .live_workers = 3}, options);
  EXPECT_EQ(decision.action, RoundAction::kAbort);
  EXPECT_THAT(decision.reason, HasSubstr("only 3 workers"));
}

TEST(DecideRoundTest, TimeoutCountsFromTheFirstContribution) {
  const RoundOptions options = {.quorum = 2, .timeout = absl::Seconds(10)};
  const absl::Time opened = kNow - absl::Seconds(10);
  EXPECT_EQ(DecideRound(kNow, {.contributions = 0, .live_workers = 2}, options)
                .action,
            RoundAction::kWait);
  EXPECT_EQ(
      DecideRound(kNow - absl::Nanoseconds(1),
                  {.contributions = 1, .live_workers = 2, .opened = opened},
                  options)
          .action,
      RoundAction::kWait);
  EXPECT_EQ(DecideRound(
                kNow, {.contributions = 1, .live_workers = 2, .opened = opened},
                options)
                .action,
            RoundAction::kAbort);
}

RoundAction Release(const Cluster& cluster, uint32_t worker,
                    const std::vector<uint64_t>& clocks) {
  return DecideRelease(worker, clocks, /*barrier=*/clocks[worker] == 100,
                       cluster)
      .action;
}

TEST(DecideReleaseTest, BspWaitsForTheSlowest) {
  const Cluster cluster = MakeCluster(Cluster::BSP, 3);
  EXPECT_EQ(Release(cluster, 0, {5, 5, 4}), RoundAction::kWait);
  EXPECT_EQ(Release(cluster, 2, {5, 5, 4}), RoundAction::kClose);
  EXPECT_EQ(Release(cluster, 0, {5, 5, 5}), RoundAction::kClose);
}

TEST(DecideReleaseTest, SspHoldsToTheBound) {
  Cluster cluster = MakeCluster(Cluster::SSP, 2);
  cluster.set_staleness_steps_max(3);
  EXPECT_EQ(Release(cluster, 0, {7, 4}), RoundAction::kClose);
  EXPECT_EQ(Release(cluster, 0, {8, 4}), RoundAction::kWait);
  EXPECT_EQ(Release(cluster, 1, {8, 4}), RoundAction::kClose);
}

TEST(DecideReleaseTest, SspWithBoundZeroIsLockstep) {
  Cluster cluster = MakeCluster(Cluster::SSP, 2);
  cluster.set_staleness_steps_max(0);
  EXPECT_EQ(Release(cluster, 0, {1, 0}), RoundAction::kWait);
  EXPECT_EQ(Release(cluster, 0, {1, 1}), RoundAction::kClose);
}

TEST(DecideReleaseTest, AsyncNeverWaitsBeforeTheEnd) {
  const Cluster cluster = MakeCluster(Cluster::ASYNC, 2);
  EXPECT_EQ(Release(cluster, 0, {99, 0}), RoundAction::kClose);
}

TEST(DecideReleaseTest, WeightsBehindABarrierWaitForEverybody) {
  for (Cluster::Mode mode : {Cluster::BSP, Cluster::SSP, Cluster::ASYNC}) {
    const Cluster cluster = MakeCluster(mode, 2);
    EXPECT_EQ(Release(cluster, 0, {100, 99}), RoundAction::kWait);
    EXPECT_EQ(Release(cluster, 0, {100, 100}), RoundAction::kClose);
  }
}

}  // namespace
}  // namespace terse
