// A job that loses a worker, or a wire, in the middle of a step goes on where
// it is, and ends with the bits of one that lost nothing.
#include <string>
#include <vector>

#include "tests/sim/fixture.h"

namespace terse {
namespace {

using ::testing::HasSubstr;

Job MakeJob(const std::vector<std::string>& overrides) {
  return JobOf(kLossyJob, overrides);
}

TEST(RejoinTest, ACutWireCostsNothing) {
  for (const auto& overrides : JobsWithState()) {
    const Job job = MakeJob(overrides);
    const SimJobResult calm = RunJob(job);
    ASSERT_TRUE(calm.status.ok()) << calm.status;
    uint64_t under_way = 0;
    for (int part = 1; part <= 16; ++part) {
      SCOPED_TRACE(absl::StrCat(overrides.empty() ? "" : overrides.back(),
                                ", at ", part, "/16"));
      SimJobOptions options;
      options.network.seed = part;
      for (uint32_t w = 0; w < 3; ++w) {
        options.troubles.push_back(
            {w, (w + part) % 3, PartOf(calm, (part + 0.1 * w) / 16)});
      }
      const SimJobResult cut = RunJob(job, options);
      if (!cut.status.ok() && cut.steps == 0) continue;  // Before the start.
      ++under_way;
      ExpectSame(cut, calm);
    }
    EXPECT_GE(under_way, 8u);
  }
}

// Each worker is lost in turn, at one of 24 moments.
void ExpectReplacements(
    const std::vector<std::string>& overrides,
    absl::Duration replace_after = absl::Milliseconds(300)) {
  const Job job = MakeJob(overrides);
  const SimJobResult calm = RunJob(job);
  uint64_t replaced = 0;
  for (int part = 1; part <= 24; ++part) {
    SCOPED_TRACE(part);
    SimJobOptions options;
    options.network.seed = part;
    options.losses = {{.process = job.cluster().servers() + uint32_t(part) % 3,
                       .after = PartOf(calm, part / 24.0)}};
    options.replace_after = replace_after;
    const SimJobResult result = RunJob(job, options);
    // Before the start there is nothing to wait with, at the end nobody to.
    if (!result.status.ok()) {
      EXPECT_EQ(ExitCodeOf(result.status), ExitCode::kPeerNeverCame);
      continue;
    }
    if (part == 24 && result.worker_sha256.size() == 2) {
      // It had said goodbye, so that nobody missed it.
      EXPECT_EQ(result.report["weights_sha256"], calm.report["weights_sha256"]);
      continue;
    }
    ExpectSame(result, calm, /*repeated_max=*/1);
    // What the lost process sent counts as well, but for a part of its step.
    EXPECT_GE(result.report["wire_bytes_up"],
              calm.report["wire_bytes_up"].get<double>() * 0.95);
    ++replaced;
  }
  EXPECT_GE(replaced, 12u);
}

TEST(RejoinTest, AReplacementRepeatsTheStepAndNobodyElseDoes) {
  ExpectReplacements({});
}

// Which joins while what the lost process had sent still ends a step.
TEST(RejoinTest, AReplacementMayComeAtOnce) {
  for (const char* servers : {"cluster.servers=1", "cluster.servers=3"}) {
    SCOPED_TRACE(servers);
    for (const int micros : {100, 1000, 3000}) {
      SCOPED_TRACE(micros);
      ExpectReplacements({servers}, absl::Microseconds(micros));
      ExpectReplacements({servers, "model.mlp.batch_norm=true"},
                         absl::Microseconds(micros));
    }
  }
}

// Which the tests of the network depend on.
TEST(RejoinTest, AReplacementHasTheStatisticsOfItsRank) {
  ExpectReplacements({"model.mlp.batch_norm=true"});
  ExpectReplacements({"model.mlp.batch_norm=true", "train.batch_size=60",
                      "train.evaluate_every_epochs=1"});
}

TEST(RejoinTest, ARankWithStateHasNoReplacement) {
  const Job job = MakeJob(
      {"compress.gradient={kind: topk, ratio: 0.05, error_feedback: true}"});
  const SimJobResult calm = RunJob(job);
  SimJobOptions options;
  options.losses = {{.process = 4, .after = PartOf(calm, 0.5)}};
  options.replace_after = absl::Milliseconds(300);
  const SimJobResult result = RunJob(job, options);
  EXPECT_EQ(ExitCodeOf(result.status), ExitCode::kPeerNeverCame);
  EXPECT_THAT(std::string(result.status.message()),
              HasSubstr("with what it keeps"));
}

TEST(RejoinTest, ARankIsKeptForALimitedTime) {
  ExpectPlaceKeptForALimitedTime(MakeJob({}), 4, "worker 1 was lost");
}

TEST(RejoinTest, ASecondClaimOfARankIsRefused) {
  const Job job = MakeJob({});
  const SimJobResult calm = RunJob(job);
  SimJobOptions options;
  options.claim_after = PartOf(calm, 0.5);
  const SimJobResult result = RunJob(job, options);
  ExpectSame(result, calm);
  EXPECT_THAT(std::string(result.claimant.message()),
              HasSubstr("worker 0 has joined already"));
}

}  // namespace
}  // namespace terse
