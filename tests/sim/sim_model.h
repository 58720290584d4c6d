// A network without torch for simulated jobs: every tensor is drawn to a target
// of its own, with noise that is a function of (seed, step, worker, element).
#ifndef TERSE_TESTS_SIM_SIM_MODEL_H_
#define TERSE_TESTS_SIM_SIM_MODEL_H_

#include <string>
#include <vector>

#include "common/checkpoint/checkpoint.h"
#include "common/plan/plan.h"
#include "worker/model.h"

namespace terse {

struct SimModelOptions {
  uint64_t train_samples = 1000;
  uint64_t test_samples = 101;
  // Of a gradient's noise, against distances to the target below 1.
  float noise = 0.1f;
  // In place of all that, the gradient of a step moves one element of the first
  // tensor, which no other step of any worker moves, by -1; see WrongCounts.
  bool counts = false;
};

class SimModel final : public NetworkModel {
 public:
  SimModel(const Job& job, const Plan& plan, uint32_t worker,
           const SimModelOptions& options);

  uint64_t train_samples() const override { return options_.train_samples; }
  uint64_t test_samples() const override { return options_.test_samples; }
  std::span<float> Values(uint32_t tensor) override { return values_[tensor]; }
  absl::Status ComputeGradient(
      uint64_t step, const std::function<void(const LossSums&)>& on_loss,
      const std::function<absl::Status(uint32_t, std::span<const float>)>&
          on_gradient) override;
  absl::StatusOr<LossSums> Evaluate(uint64_t first, uint64_t count) override;

  // What the weights are drawn to.
  static float Target(uint64_t seed, uint32_t tensor, uint64_t element);

 private:
  double Distance() const;
  float GradientOf(uint64_t step, uint32_t tensor, size_t element,
                   uint64_t noise_key) const;

  const Job job_;
  const ModelSpec spec_;
  const uint32_t worker_;
  const SimModelOptions options_;
  std::vector<std::vector<float>> values_;  // By tensor.
};

// Of a job with SimModelOptions::counts, whose updates are the gradients
// themselves: what is wrong with the checkpoint of a version, which must have
// every step before it of every worker once and no other; empty: nothing.
std::string WrongCounts(const Job& job, const FoundCheckpoint& checkpoint);

}  // namespace terse

#endif  // TERSE_TESTS_SIM_SIM_MODEL_H_
