#include "tests/sim/sim_model.h"

#include "common/base/random.h"

namespace terse {
namespace {

// Keys of the model's own draws, apart from those of the system under test.
enum SimDraw : uint64_t { kTarget = 1, kNoise = 2 };

}  // namespace

SimModel::SimModel(const Job& job, const Plan& plan, uint32_t worker,
                   const SimModelOptions& options)
    : job_(job), spec_(plan.model), worker_(worker), options_(options) {
  for (const TensorSpec& tensor : spec_.tensors) {
    values_.emplace_back(ElementCount(tensor.shape), tensor.initial_value);
  }
}

float SimModel::Target(uint64_t seed, uint32_t tensor, uint64_t element) {
  const uint64_t key = DrawKey(Draw::kSimulate, {kTarget, seed, tensor});
  return RandomUnit(key, element) - 0.5f;
}

double SimModel::Distance() const {
  double sum = 0;
  for (uint32_t t = 0; t < spec_.tensors.size(); ++t) {
    if (spec_.tensors[t].role == TensorSpec::Role::kBuffer) continue;
    for (size_t i = 0; i < values_[t].size(); ++i) {
      const double d = values_[t][i] - Target(job_.seed(), t, i);
      sum += d * d;
    }
  }
  return sum / 2;
}

absl::Status SimModel::ComputeGradient(
    uint64_t step, const std::function<void(const LossSums&)>& on_loss,
    const std::function<absl::Status(uint32_t, std::span<const float>)>&
        on_gradient) {
  const uint64_t batch = job_.train().batch_size();
  on_loss({.loss = Distance() * static_cast<double>(batch),
           .correct = batch / 2,
           .samples = batch});
  std::vector<float> gradient;
  for (uint32_t t = spec_.tensors.size(); t-- > 0;) {
    const uint64_t key =
        DrawKey(Draw::kSimulate, {kNoise, job_.seed(), step, worker_, t});
    std::vector<float>& values = values_[t];
    if (spec_.tensors[t].role == TensorSpec::Role::kBuffer) {
      for (size_t i = 0; i < values.size(); ++i) {
        values[i] = 0.9f * values[i] + 0.1f * RandomUnit(key, i);
      }
      continue;
    }
    gradient.resize(values.size());
    for (size_t i = 0; i < values.size(); ++i) {
      gradient[i] = values[i] - Target(job_.seed(), t, i) +
                    options_.noise * (RandomUnit(key, i) - 0.5f);
    }
    if (absl::Status pushed = on_gradient(t, gradient); !pushed.ok()) {
      return pushed;
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<LossSums> SimModel::Evaluate(uint64_t first, uint64_t count) {
  return LossSums{.loss = Distance() * static_cast<double>(count),
                  .correct = count - (first % 2),
                  .samples = count};
}

}  // namespace terse
