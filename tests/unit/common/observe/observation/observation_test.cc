#include "common/observe/observation.h"

#include <cmath>
#include <limits>
#include <numeric>

#include "common/config/job.h"
#include "gtest/gtest.h"

namespace terse {
namespace {

constexpr char kJob[] = R"(
model: {mlp: {hidden: [4], batch_norm: true}}
data: {kind: noise, shape: [1, 2, 3], train_samples: 160}
train: {steps: 5, batch_size: 8}
)";

TEST(ObservationTest, CountsEveryValueOnce) {
  std::vector<float> values(100);
  std::iota(values.begin(), values.end(), -50.0f);
  const wire::Histogram histogram = Summarize(values);
  EXPECT_EQ(histogram.min(), -50);
  EXPECT_EQ(histogram.max(), 49);
  EXPECT_EQ(histogram.sum(), -50);
  ASSERT_EQ(histogram.counts_size(), kHistogramBins);
  EXPECT_EQ(
      std::accumulate(histogram.counts().begin(), histogram.counts().end(), 0u),
      100u);
  EXPECT_GT(histogram.counts(0), 0u);
  EXPECT_GT(histogram.counts(kHistogramBins - 1), 0u);
}

TEST(ObservationTest, TakesNothingEqualAndNotFiniteValues) {
  EXPECT_EQ(Summarize({}).counts_size(), 0);
  const std::vector<float> equal(7, 2.5f);
  EXPECT_EQ(Summarize(equal).counts(0), 7u);
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  const std::vector<float> wild = {1, NAN, kInfinity, -kInfinity, 3};
  const wire::Histogram histogram = Summarize(wild);
  EXPECT_EQ(histogram.max(), 3);
  EXPECT_EQ(histogram.sum(), 4);
}

TEST(ObservationTest, LooksAtASampleOfLargeTensors) {
  const std::vector<float> values(10 * kObservedElementsMax + 1, 1.0f);
  EXPECT_LE(Summarize(values).sum(), kObservedElementsMax);
}

TEST(ObservationTest, EntropyIsOfLevels) {
  const std::vector<float> ternary = {-1, 0, -0.0f, 1};
  EXPECT_DOUBLE_EQ(*LevelEntropyBits(ternary), 1.5);
  EXPECT_EQ(*LevelEntropyBits(std::vector<float>(9, 4.0f)), 0);
  std::vector<float> numbers(1000);
  std::iota(numbers.begin(), numbers.end(), 0.0f);
  EXPECT_FALSE(LevelEntropyBits(numbers).has_value());
}

TEST(ObservationTest, LongJobsAreLookedAtNoMoreOften) {
  EXPECT_EQ(ObserveEverySteps(1), kObservationStepsMin);
  EXPECT_EQ(ObserveEverySteps(1'000'000), 1'000'000 / kObservationsMax);
}

TEST(ObservationTest, RefusesWhatAPeerMakesUp) {
  const Job job = *ParseJob(kJob, "observation_test", {});
  const Plan plan = *MakePlan(job);
  wire::Observation observation;
  wire::TensorObservation& seen = *observation.add_tensors();
  EXPECT_TRUE(ValidateObservation(plan, observation).ok());
  seen.set_tensor(1000);
  EXPECT_FALSE(ValidateObservation(plan, observation).ok());
  seen.set_tensor(0);
  seen.mutable_gradient()->set_sum(NAN);
  EXPECT_FALSE(ValidateObservation(plan, observation).ok());
  seen.mutable_gradient()->set_sum(0);
  for (int i = 0; i <= kHistogramBins; ++i) {
    seen.mutable_gradient()->add_counts(1);
  }
  EXPECT_FALSE(ValidateObservation(plan, observation).ok());
}

}  // namespace
}  // namespace terse
