// Gradients of a whole network against finite differences of its loss.
#ifndef TERSE_TESTS_UNIT_WORKER_TORCH_CHECK_GRADIENTS_H_
#define TERSE_TESTS_UNIT_WORKER_TORCH_CHECK_GRADIENTS_H_

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "tests/unit/worker/torch/model_fixture.h"

namespace terse {

inline double MeanLoss(const Fixture& fixture, uint64_t step) {
  const StepResult result = TakeStep(fixture, step);
  return result.loss.loss / static_cast<double>(result.loss.samples);
}

// Compares the gradient along random directions of each tensor, and along some
// of its elements, with central differences.
inline void CheckGradients(const Job& job, double distance = 4e-3,
                           const std::string& only = "") {
  const Fixture fixture = MakeFixture(job);
  constexpr uint64_t kStep = 3;
  const StepResult result = TakeStep(fixture, kStep);
  for (uint32_t t = 0; t < fixture.spec.tensors.size(); ++t) {
    const TensorSpec& tensor = fixture.spec.tensors[t];
    if (tensor.role == TensorSpec::Role::kBuffer) continue;
    if (tensor.name.find(only) != 0) continue;
    const std::span<float> values = fixture.model->Values(t);
    const std::vector<float>& gradient = result.gradients[t];
    ASSERT_EQ(gradient.size(), values.size()) << tensor.name;
    const std::vector<float> saved(values.begin(), values.end());
    for (uint64_t probe = 0; probe < 6; ++probe) {
      // Half of the probes move one element, half a third of them.
      const uint64_t key = MixKey({t, probe});
      std::vector<float> direction(values.size());
      for (size_t i = 0; i < direction.size(); ++i) {
        const bool moves = probe % 2 == 0 ? RandomBits(key, i) % 3 == 0
                                          : i == key % direction.size();
        if (moves) direction[i] = (RandomBits(key, i) & 8) ? 1.f : -1.f;
      }
      double length = 0;
      double expected = 0;
      for (size_t i = 0; i < direction.size(); ++i) {
        length += std::abs(direction[i]);
        expected += double{gradient[i]} * direction[i];
      }
      if (length == 0) continue;
      const auto step = static_cast<float>(distance / std::sqrt(length));
      const auto loss_at = [&](float distance) {
        for (size_t i = 0; i < saved.size(); ++i) {
          values[i] = saved[i] + distance * direction[i];
        }
        return MeanLoss(fixture, kStep);
      };
      const double difference =
          (loss_at(step) - loss_at(-step)) / (2.0 * double{step});
      std::copy(saved.begin(), saved.end(), values.begin());
      EXPECT_NEAR(difference, expected, 2e-3 + 0.01 * std::abs(expected))
          << tensor.name << ", probe " << probe;
    }
  }
}

}  // namespace terse

#endif  // TERSE_TESTS_UNIT_WORKER_TORCH_CHECK_GRADIENTS_H_
