// A network that takes its tensors one by one and gives its gradients in parts
// trains the same weights as one that does neither.
#include <atomic>
#include <memory>
#include <string>
#include <utility>

#include "common/config/job.h"
#include "gtest/gtest.h"
#include "tests/sim/sim_model.h"
#include "worker/local_job.h"

namespace terse {
namespace {

constexpr char kJob[] = R"(
model: {mlp: {hidden: [1100, 300], batch_norm: true}}
data: {kind: noise, shape: [1, 25, 20]}
train: {steps: 4, batch_size: 10, evaluate_every_epochs: 1}
optimizer: {kind: sgd, learning_rate: 0.1, momentum: 0.9}
cluster: {servers: 2, workers: 3, transport: memory}
)";

struct Counts {
  std::atomic<int> awaits{0};
  std::atomic<int> parts{0};
};

class OverlappingModel final : public NetworkModel {
 public:
  OverlappingModel(const Job& job, const Plan& plan, uint32_t worker,
                   Counts& counts)
      : model_(job, plan, worker, {}), spec_(plan.model), counts_(counts) {}

  uint64_t train_samples() const override { return model_.train_samples(); }
  uint64_t test_samples() const override { return model_.test_samples(); }
  std::span<float> Values(uint32_t tensor) override {
    return model_.Values(tensor);
  }
  bool SetHooks(StepHooks hooks) override {
    hooks_ = std::move(hooks);
    return true;
  }
  absl::Status ComputeGradient(
      uint64_t step, const std::function<void(const LossSums&)>& on_loss,
      const std::function<absl::Status(uint32_t, std::span<const float>)>&
          on_gradient) override {
    for (uint32_t t = 0; t < spec_.tensors.size(); ++t) {
      if (spec_.tensors[t].role == TensorSpec::Role::kBuffer) continue;
      ++counts_.awaits;
      if (auto awaited = hooks_.await(t); !awaited.ok()) return awaited;
    }
    return model_.ComputeGradient(
        step, on_loss, [&](uint32_t tensor, std::span<const float> gradient) {
          for (const size_t part : {gradient.size() / 2, gradient.size() - 1}) {
            ++counts_.parts;
            const auto sent = hooks_.on_part(tensor, gradient.first(part));
            if (!sent.ok()) return sent;
          }
          return on_gradient(tensor, gradient);
        });
  }
  absl::StatusOr<LossSums> Evaluate(uint64_t first, uint64_t count) override {
    return model_.Evaluate(first, count);
  }

 private:
  SimModel model_;
  const ModelSpec spec_;
  Counts& counts_;
  StepHooks hooks_;
};

std::string Weights(const std::string& gradient, Counts* counts) {
  const absl::StatusOr<Job> job =
      ParseJob(kJob, "overlap_test", {"compress.gradient=" + gradient});
  EXPECT_TRUE(job.ok()) << job.status();
  LocalJobOptions options;
  options.make_model =
      [counts](
          const Job& job, const Plan& plan,
          uint32_t worker) -> absl::StatusOr<std::unique_ptr<NetworkModel>> {
    if (counts == nullptr) {
      return std::make_unique<SimModel>(job, plan, worker, SimModelOptions());
    }
    return std::make_unique<OverlappingModel>(job, plan, worker, *counts);
  };
  const auto report = RunLocalJob(*job, options);
  EXPECT_TRUE(report.ok()) << report.status();
  return report.ok() ? report->at("weights_sha256").get<std::string>() : "";
}

TEST(Overlap, ChangesNoBit) {
  for (const char* gradient :
       {"{kind: none}", "{kind: terngrad, scale: shared}",
        "{kind: topk, ratio: 0.05, error_feedback: true}"}) {
    Counts counts;
    EXPECT_EQ(Weights(gradient, &counts), Weights(gradient, nullptr))
        << gradient;
    EXPECT_GT(counts.awaits, 0);
    EXPECT_GT(counts.parts, 0);
  }
}

}  // namespace
}  // namespace terse
