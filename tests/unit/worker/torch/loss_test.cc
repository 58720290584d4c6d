#include "worker/torch/loss.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "common/base/random.h"

namespace terse {
namespace {

TEST(CrossEntropy, OfEqualScoresIsTheLogarithmOfTheClasses) {
  const std::vector<float> scores(8, 3.5f);
  const std::vector<uint32_t> labels = {0, 2};
  std::vector<float> gradient(8);
  const LossSums sums =
      ComputeLoss(Model::CROSS_ENTROPY, scores, labels, gradient);
  EXPECT_NEAR(sums.loss, 2 * std::log(4.0), 1e-12);
  EXPECT_EQ(sums.samples, 2u);
  EXPECT_EQ(sums.correct, 1u);  // The first of equals wins.
  const std::vector<float> expected = {-.375f, .125f, .125f,  .125f,
                                       .125f,  .125f, -.375f, .125f};
  EXPECT_EQ(gradient, expected);
}

TEST(CrossEntropy, OfLargeScoresIsFinite) {
  const std::vector<float> scores = {1e30f, -1e30f, 0};
  EXPECT_EQ(ComputeLoss(Model::CROSS_ENTROPY, scores, std::vector{0u}, {}).loss,
            0);
  EXPECT_NEAR(
      ComputeLoss(Model::CROSS_ENTROPY, scores, std::vector{2u}, {}).loss, 1e30,
      1e24);
}

TEST(SquaredHinge, IsTheFormula) {
  const std::vector<float> scores = {2, -3, 0.5f, 0.25f, -0.5f, 0};
  const std::vector<uint32_t> labels = {0, 1};
  std::vector<float> gradient(6);
  const LossSums sums =
      ComputeLoss(Model::SQUARED_HINGE, scores, labels, gradient);
  // First sample: 0 + 0 + 1.5^2; second: 1.25^2 + 1.5^2 + 1.
  EXPECT_NEAR(sums.loss, 2.25 + 1.5625 + 2.25 + 1, 1e-12);
  EXPECT_EQ(sums.correct, 1u);
  const std::vector<float> expected = {0, 0, 1.5f, 1.25f, -1.5f, 1};
  EXPECT_EQ(gradient, expected);
}

TEST(Loss, GradientIsTheDerivativeOfTheMean) {
  constexpr size_t kClasses = 5;
  const std::vector<uint32_t> labels = {4, 0, 3};
  std::vector<float> scores(labels.size() * kClasses);
  for (size_t i = 0; i < scores.size(); ++i) {
    scores[i] = 4 * RandomUnit(9, i) - 2;
  }
  for (const Model::Loss loss : {Model::CROSS_ENTROPY, Model::SQUARED_HINGE}) {
    std::vector<float> gradient(scores.size());
    ComputeLoss(loss, scores, labels, gradient);
    for (size_t i = 0; i < scores.size(); ++i) {
      constexpr float kStep = 0x1p-10f;
      auto moved = scores;
      moved[i] = scores[i] + kStep;
      const double above = ComputeLoss(loss, moved, labels, {}).loss;
      moved[i] = scores[i] - kStep;
      const double below = ComputeLoss(loss, moved, labels, {}).loss;
      EXPECT_NEAR(gradient[i], (above - below) / (2 * kStep) / 3, 2e-4);
    }
  }
}

TEST(Loss, ShowsNanAndInfinity) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float infinity = std::numeric_limits<float>::infinity();
  for (const Model::Loss loss : {Model::CROSS_ENTROPY, Model::SQUARED_HINGE}) {
    for (const float bad : {nan, infinity, -infinity}) {
      for (size_t place = 0; place < 3; ++place) {
        for (uint32_t label = 0; label < 3; ++label) {
          std::vector<float> scores = {1, 2, 3};
          scores[place] = bad;
          const double value =
              ComputeLoss(loss, scores, std::vector{label}, {}).loss;
          // What one class cannot reach has no part in a sum of the others.
          const bool harmless = bad == -infinity && label != place;
          const bool satisfied =
              bad == infinity && label == place && loss == Model::SQUARED_HINGE;
          if (harmless || satisfied) continue;
          EXPECT_FALSE(std::isfinite(value));
        }
      }
    }
  }
}

}  // namespace
}  // namespace terse
