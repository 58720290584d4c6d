#include "common/cost/candidates.h"

#include <string>

#include "common/config/job.h"
#include "common/plan/plan.h"
#include "gtest/gtest.h"

namespace terse {
namespace {

Job JobOf(const std::string& compress) {
  const absl::StatusOr<Job> job =
      ParseJob("model: {mlp: [600]}\ntrain: {epochs: 1}\ncompress: " + compress,
               "test", {});
  EXPECT_TRUE(job.ok()) << job.status();
  return job.ok() ? *job : Job();
}

std::string CodecOfFirst(const Job& job) {
  const absl::StatusOr<Plan> plan = MakePlan(job);
  EXPECT_TRUE(plan.ok()) << plan.status();
  return plan.ok() ? plan->tensors[0].codec->Describe() : "";
}

TEST(CandidatesTest, WithoutAListTheyAreWhatHasBeenPublished) {
  const Job job = JobOf("{gradient: auto}");
  EXPECT_EQ(PrintCodec(Candidates(job)[0]), "none");
  for (const GradientCodec& codec : Candidates(job)) {
    EXPECT_TRUE(MakePlan(WithGradient(job, codec)).ok()) << PrintCodec(codec);
  }
}

TEST(CandidatesTest, TheJobsListIsTaken) {
  const std::vector<GradientCodec> candidates = Candidates(JobOf(
      "{gradient: auto, auto: {candidates: [none, {kind: qsgd, levels: 3}]}}"));
  ASSERT_EQ(candidates.size(), 2);
  EXPECT_EQ(PrintCodec(candidates[1]), "qsgd:levels=3");
}

TEST(CandidatesTest, TheLastChoiceIsTheCodec) {
  const Job job = JobOf("{gradient: auto}");
  EXPECT_EQ(CodecOfFirst(job), "none");
  const Job first = WithChoice(job, 0, *ParseCodec("terngrad"));
  EXPECT_TRUE(CodecOfFirst(first).starts_with("terngrad"));
  const Job second = WithChoice(first, 40, *ParseCodec("fp16"));
  EXPECT_EQ(CodecOfFirst(second), "fp16");
  EXPECT_TRUE(
      CodecOfFirst(WithChoicesUntil(second, 39)).starts_with("terngrad"));
  EXPECT_EQ(CodecOfFirst(WithChoicesUntil(second, 40)), "fp16");
  // Another choice of a step takes the place of the first.
  EXPECT_EQ(WithChoice(second, 40, *ParseCodec("none"))
                .compress()
                .auto_()
                .choices_size(),
            2);
}

TEST(CandidatesTest, ChoicesArePrintedAndReadBack) {
  const Job job =
      WithChoice(JobOf("{gradient: auto}"), 0,
                 *ParseCodec("topk:ratio=0.02,error_feedback=true"));
  const absl::StatusOr<Job> back = ParseJob(PrintJob(job), "printed", {});
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(PrintJob(*back), PrintJob(job));
  EXPECT_EQ(PrintCodec(GradientOf(*back)),
            "topk:ratio=0.02,error_feedback=true");
}

}  // namespace
}  // namespace terse
