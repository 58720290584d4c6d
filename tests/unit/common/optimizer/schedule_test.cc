#include "common/optimizer/schedule.h"

#include <cmath>

#include "gtest/gtest.h"

namespace terse {
namespace {

Optimizer WithRate(float rate) {
  Optimizer options;
  options.set_learning_rate(rate);
  return options;
}

TEST(LearningRateTest, Constant) {
  const Optimizer options = WithRate(0.5f);
  for (uint64_t step : {0, 1, 99, 1000}) {
    EXPECT_EQ(LearningRate(options, step, 100, 10), 0.5f) << step;
  }
}

TEST(LearningRateTest, DefaultsWithoutASchedule) {
  EXPECT_EQ(LearningRate(Optimizer(), 3, 10, 10), 0.01f);
}

TEST(LearningRateTest, WarmsUpStraight) {
  Optimizer options = WithRate(1);
  options.mutable_schedule()->set_warmup_epochs(0.4f);  // 4 steps of 10.
  EXPECT_EQ(LearningRate(options, 0, 100, 10), 0.25f);
  EXPECT_EQ(LearningRate(options, 1, 100, 10), 0.5f);
  EXPECT_EQ(LearningRate(options, 2, 100, 10), 0.75f);
  EXPECT_EQ(LearningRate(options, 3, 100, 10), 1.0f);
  EXPECT_EQ(LearningRate(options, 4, 100, 10), 1.0f);
}

TEST(LearningRateTest, WarmUpLongerThanTheJob) {
  Optimizer options = WithRate(1);
  options.mutable_schedule()->set_kind(Schedule::COSINE);
  options.mutable_schedule()->set_warmup_epochs(20);
  EXPECT_EQ(LearningRate(options, 9, 10, 1), 0.5f);
}

TEST(LearningRateTest, StepsAtMilestonesInAnyOrder) {
  Optimizer options = WithRate(1);
  Schedule& schedule = *options.mutable_schedule();
  schedule.set_kind(Schedule::STEP);
  schedule.set_factor(0.5f);
  schedule.add_milestones_epochs(3);
  schedule.add_milestones_epochs(1.5f);
  EXPECT_EQ(LearningRate(options, 0, 50, 10), 1.0f);
  EXPECT_EQ(LearningRate(options, 14, 50, 10), 1.0f);
  EXPECT_EQ(LearningRate(options, 15, 50, 10), 0.5f);
  EXPECT_EQ(LearningRate(options, 29, 50, 10), 0.5f);
  EXPECT_EQ(LearningRate(options, 30, 50, 10), 0.25f);
  EXPECT_EQ(LearningRate(options, 49, 50, 10), 0.25f);
}

TEST(LearningRateTest, ExponentialIsStraightInTheLogarithm) {
  Optimizer options = WithRate(1);
  Schedule& schedule = *options.mutable_schedule();
  schedule.set_kind(Schedule::EXPONENTIAL);
  schedule.set_final_learning_rate(0x1p-10f);
  for (int step = 0; step <= 10; ++step) {
    EXPECT_FLOAT_EQ(LearningRate(options, step, 11, 5), std::ldexp(1.0f, -step))
        << step;
  }
  EXPECT_EQ(LearningRate(options, 0, 11, 5), 1.0f);
  EXPECT_EQ(LearningRate(options, 10, 11, 5), 0x1p-10f);
  EXPECT_EQ(LearningRate(options, 11, 11, 5), 0x1p-10f);
}

TEST(LearningRateTest, ExponentialToZeroStaysFinite) {
  Optimizer options = WithRate(0.5f);
  options.mutable_schedule()->set_kind(Schedule::EXPONENTIAL);
  options.mutable_schedule()->set_final_learning_rate(0);
  float last = 0.5f;
  for (uint64_t step = 1; step < 10; ++step) {
    const float rate = LearningRate(options, step, 10, 5);
    EXPECT_LT(rate, last);
    EXPECT_GE(rate, 0);
    last = rate;
  }
  EXPECT_EQ(last, 0);
}

TEST(LearningRateTest, CosineAfterWarmUp) {
  Optimizer options = WithRate(1);
  Schedule& schedule = *options.mutable_schedule();
  schedule.set_kind(Schedule::COSINE);
  schedule.set_final_learning_rate(0.5f);
  schedule.set_warmup_epochs(1);  // Steps 0 and 1; the peak is step 1.
  EXPECT_EQ(LearningRate(options, 0, 6, 2), 0.5f);
  EXPECT_EQ(LearningRate(options, 1, 6, 2), 1.0f);
  EXPECT_FLOAT_EQ(LearningRate(options, 2, 6, 2),
                  0.5f + 0.25f * (1 + std::sqrt(0.5f)));
  EXPECT_FLOAT_EQ(LearningRate(options, 3, 6, 2), 0.75f);
  EXPECT_EQ(LearningRate(options, 5, 6, 2), 0.5f);
}

TEST(LearningRateTest, OneStep) {
  for (auto kind : {Schedule::CONSTANT, Schedule::STEP, Schedule::EXPONENTIAL,
                    Schedule::COSINE}) {
    Optimizer options = WithRate(0.25f);
    options.mutable_schedule()->set_kind(kind);
    EXPECT_FLOAT_EQ(LearningRate(options, 0, 1, 1), 0.25f) << kind;
  }
}

TEST(GlorotUpdateScaleTest, RootForAdamSquareForSgd) {
  Optimizer adam;
  adam.set_kind(Optimizer::ADAM);
  EXPECT_EQ(GlorotUpdateScale(adam, 4, 20), 4.0f);
  EXPECT_NEAR(GlorotUpdateScale(adam, 784, 2048), 43.45, 0.005);
  EXPECT_EQ(GlorotUpdateScale(Optimizer(), 784, 2048), 1888.0f);
}

}  // namespace
}  // namespace terse
