#include "common/plan/feedback_options.h"

#include <string>

#include "common/base/status.h"
#include "common/plan/plan.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/common/plan/job_for_test.h"

namespace terse {
namespace {

// fc1 has 784 x 32 weights; its bias is small.
Job JobWith(const std::string& gradient, const std::string& rest = "") {
  return JobOf("model: {mlp: {hidden: [32], batch_norm: false}}\n" + rest +
               "cluster: {workers: 4}\ncompress: {gradient: {" + gradient +
               "}}\n");
}

FeedbackOptions OptionsOf(const Plan& plan, const std::string& name) {
  for (size_t t = 0; t < plan.tensors.size(); ++t) {
    if (plan.model.tensors[t].name == name) return plan.tensors[t].feedback;
  }
  ADD_FAILURE() << name;
  return {};
}

std::string ErrorOf(const Job& job) {
  const absl::Status status = MakePlan(job).status();
  EXPECT_EQ(ExitCodeOf(status), ExitCode::kBadJob);
  return std::string(status.message());
}

TEST(FeedbackOptions, NothingIsKeptByDefault) {
  const absl::StatusOr<Plan> plan = MakePlan(JobWith("kind: terngrad"));
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_FALSE(OptionsOf(*plan, "fc1.weight").any());
}

TEST(FeedbackOptions, DeepGradientCompression) {
  const absl::StatusOr<Plan> plan = MakePlan(
      JobWith("kind: topk, error_feedback: true, momentum_correction: 0.9, "
              "residual_decay: 0.5, local_clip_norm: 6"));
  ASSERT_TRUE(plan.ok()) << plan.status();
  const FeedbackOptions weight = OptionsOf(*plan, "fc1.weight");
  EXPECT_TRUE(weight.error_feedback);
  EXPECT_FLOAT_EQ(weight.momentum, 0.9f);
  EXPECT_TRUE(weight.momentum_masking);
  EXPECT_FLOAT_EQ(weight.residual_decay, 0.5f);
  EXPECT_FLOAT_EQ(weight.gradient_norm_max, 3);  // Over sqrt(4) workers.
  // Too small to compress: its momentum is the same, and never masked.
  const FeedbackOptions bias = OptionsOf(*plan, "fc1.bias");
  EXPECT_FALSE(bias.error_feedback);
  EXPECT_FLOAT_EQ(bias.momentum, 0.9f);
  EXPECT_FALSE(bias.momentum_masking);
  EXPECT_FLOAT_EQ(bias.gradient_norm_max, 3);
}

TEST(FeedbackOptions, DenseCodesMaskNothing) {
  const absl::StatusOr<Plan> plan = MakePlan(JobWith(
      "kind: terngrad, error_feedback: true, momentum_correction: 0.9"));
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_FALSE(OptionsOf(*plan, "fc1.weight").momentum_masking);
}

TEST(FeedbackOptions, RefusesWhatWouldNotDoWhatItSays) {
  EXPECT_THAT(ErrorOf(JobWith("kind: topk, momentum_correction: 0.9")),
              testing::HasSubstr("need error_feedback: true"));
  EXPECT_THAT(ErrorOf(JobWith("kind: topk, residual_decay: 0.9")),
              testing::HasSubstr("need error_feedback: true"));
  EXPECT_THAT(ErrorOf(JobWith(
                  "kind: topk, error_feedback: true, momentum_correction: 0.9",
                  "optimizer: {kind: sgd, momentum: 0.9}\n")),
              testing::HasSubstr("leave optimizer.momentum out"));
}

}  // namespace
}  // namespace terse
