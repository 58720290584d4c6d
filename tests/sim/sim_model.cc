#include "tests/sim/sim_model.h"

#include <cmath>

#include "absl/strings/str_cat.h"
#include "common/base/random.h"
#include "common/checkpoint/saved_state.h"

namespace terse {
namespace {

// Keys of the model's own draws, apart from those of the system under test.
enum SimDraw : uint64_t { kTarget = 1, kNoise = 2 };

// Of the first tensor.
size_t CountedElement(const Job& job, uint64_t step, uint32_t worker) {
  return worker * job.train().steps() + step;
}

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

float SimModel::GradientOf(uint64_t step, uint32_t tensor, size_t element,
                           uint64_t noise_key) const {
  if (options_.counts) {
    const bool moves =
        tensor == 0 && element == CountedElement(job_, step, worker_);
    return moves ? -1.0f : 0.0f;
  }
  return values_[tensor][element] - Target(job_.seed(), tensor, element) +
         options_.noise * (RandomUnit(noise_key, element) - 0.5f);
}

absl::Status SimModel::ComputeGradient(
    uint64_t step, const std::function<void(const LossSums&)>& on_loss,
    const std::function<absl::Status(uint32_t, std::span<const float>)>&
        on_gradient) {
  const uint64_t batch = job_.train().batch_size();
  for (uint32_t t = 0; t < spec_.tensors.size(); ++t) {
    if (spec_.tensors[t].role != TensorSpec::Role::kBuffer) continue;
    const uint64_t key =
        DrawKey(Draw::kSimulate, {kNoise, job_.seed(), step, worker_, t});
    for (size_t i = 0; i < values_[t].size(); ++i) {
      values_[t][i] = 0.9f * values_[t][i] + 0.1f * RandomUnit(key, i);
    }
  }
  on_loss({.loss = Distance() * static_cast<double>(batch),
           .correct = batch / 2,
           .samples = batch});
  std::vector<float> gradient;
  for (uint32_t t = spec_.tensors.size(); t-- > 0;) {
    if (spec_.tensors[t].role == TensorSpec::Role::kBuffer) continue;
    const uint64_t key =
        DrawKey(Draw::kSimulate, {kNoise, job_.seed(), step, worker_, t});
    std::vector<float>& values = values_[t];
    gradient.resize(values.size());
    for (size_t i = 0; i < values.size(); ++i) {
      gradient[i] = GradientOf(step, t, i, key);
    }
    if (absl::Status pushed = on_gradient(t, gradient); !pushed.ok()) {
      return pushed;
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<LossSums> SimModel::Evaluate(uint64_t first, uint64_t count) {
  // A test depends on the statistics, training does not.
  double loss = Distance();
  for (uint32_t t = 0; t < spec_.tensors.size(); ++t) {
    if (spec_.tensors[t].role != TensorSpec::Role::kBuffer) continue;
    for (const float value : values_[t]) loss += 0.01 * value;
  }
  return LossSums{.loss = loss * static_cast<double>(count),
                  .correct = count - (first % 2),
                  .samples = count};
}

std::string WrongCounts(const Job& job, const FoundCheckpoint& checkpoint) {
  const absl::StatusOr<Plan> plan = MakePlan(job);
  const absl::StatusOr<SavedState> saved = SavedState::Open(checkpoint);
  if (!plan.ok() || !saved.ok()) return "it cannot be read";
  const size_t count = ElementCount(plan->model.tensors[0].shape);
  std::vector<float> weights(count);
  std::vector<float> initial(count);
  const absl::Status read = saved->ReadTensor("weights", *plan, 0, weights);
  if (!read.ok()) return read.ToString();
  for (uint32_t b = 0; b < plan->tensors[0].block_count; ++b) {
    const BlockSpec& block = plan->blocks[b];
    InitializeBlock(*plan, b, job.seed(),
                    std::span(initial).subspan(block.first_index, block.count));
  }
  for (uint32_t w = 0; w < job.cluster().workers(); ++w) {
    for (uint64_t step = 0; step < job.train().steps(); ++step) {
      const size_t i = CountedElement(job, step, w);
      const long counted = std::lround(weights.at(i) - initial[i]);
      if (counted != (step < saved->manifest().version ? 1 : 0)) {
        return absl::StrCat("version ", saved->manifest().version, " has step ",
                            step, " of worker ", w, " ", counted, " times");
      }
    }
  }
  return "";
}

}  // namespace terse
