#include "worker/low_rank_tensor.h"

#include <cmath>
#include <limits>
#include <vector>

#include "common/base/random.h"
#include "gtest/gtest.h"

namespace terse {
namespace {

constexpr LowRank kShape = {12, 9, 2};
constexpr size_t kCount = 12 * 9;

std::vector<float> Gradient(uint64_t key) {
  std::vector<float> values(kCount);
  for (size_t i = 0; i < kCount; ++i) values[i] = RandomUnit(key, i) - 0.5f;
  return values;
}

std::vector<float> FirstRight() {
  std::vector<float> right(kShape.right_elements());
  WarmStart(kShape, 1, right);
  return right;
}

TEST(LowRankTensorTest, WhatIsSentAndTheResidualAddUpToTheGradients) {
  std::vector<float> residual(kCount);
  LowRankTensor tensor(kShape, residual, 1);
  std::vector<double> gradients(kCount), sent(kCount);
  std::vector<float> right = FirstRight();
  for (uint64_t step = 0; step < 20; ++step) {
    const auto gradient = Gradient(step);
    tensor.SetRight(right);
    const auto left = tensor.Start(step, gradient);
    std::vector<float> basis(left.begin(), left.end());
    Orthonormalize(kShape, basis);
    const auto own =
        tensor.Finish(step, std::as_bytes(std::span<const float>(basis)));
    ASSERT_TRUE(own.ok()) << own.status();
    tensor.Settle();
    right.assign(own->begin(), own->end());
    std::vector<float> product(kCount);
    MultiplyFactors(kShape, basis, right, product);
    for (size_t i = 0; i < kCount; ++i) {
      gradients[i] += gradient[i];
      sent[i] += product[i];
    }
  }
  double norm = 0;
  for (size_t i = 0; i < kCount; ++i) {
    EXPECT_NEAR(sent[i] + residual[i], gradients[i], 1e-4);
    norm += std::abs(residual[i]);
  }
  EXPECT_GT(norm, 0);  // Two directions of nine do not hold it all.
}

TEST(LowRankTensorTest, WithoutErrorFeedbackNothingIsKept) {
  LowRankTensor tensor(kShape, {}, 1);
  tensor.SetRight(FirstRight());
  const auto first = tensor.Start(0, Gradient(3));
  const std::vector<float> left(first.begin(), first.end());
  const auto again = tensor.Start(1, Gradient(3));
  EXPECT_EQ(std::vector<float>(again.begin(), again.end()), left);
}

TEST(LowRankTensorTest, RefusesABasisThatIsNotWaitedForOrNotValid) {
  LowRankTensor tensor(kShape, {}, 1);
  std::vector<float> basis(kShape.left_elements(), 0.1f);
  const auto bytes = std::as_bytes(std::span<const float>(basis));
  EXPECT_TRUE(absl::IsInvalidArgument(tensor.Finish(0, bytes).status()));
  tensor.Start(5, Gradient(1));
  EXPECT_TRUE(absl::IsInvalidArgument(tensor.Finish(4, bytes).status()));
  EXPECT_TRUE(absl::IsDataLoss(tensor.Finish(5, bytes.first(8)).status()));
  basis[3] = std::numeric_limits<float>::infinity();
  EXPECT_TRUE(absl::IsInvalidArgument(tensor.Finish(5, bytes).status()));
  EXPECT_TRUE(tensor.basis().empty());
  basis[3] = 0;
  EXPECT_TRUE(tensor.Finish(5, bytes).ok());
  EXPECT_TRUE(absl::IsInvalidArgument(tensor.Finish(5, bytes).status()));
}

}  // namespace
}  // namespace terse
