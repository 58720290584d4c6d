#include "worker/measure_compute.h"

#include <chrono>

#include "common/base/status.h"

namespace terse {

absl::StatusOr<ComputeTime> MeasureCompute(const Job& job, const Plan& plan,
                                           NetworkModel& model) {
  for (uint32_t b = 0; b < plan.blocks.size(); ++b) {
    const BlockSpec& block = plan.blocks[b];
    InitializeBlock(
        plan, b, job.seed(),
        model.Values(block.tensor).subspan(block.first_index, block.count));
  }
  using std::chrono::steady_clock;
  const auto since = [](steady_clock::time_point begin) {
    return std::chrono::duration<double, std::milli>(steady_clock::now() -
                                                     begin)
        .count();
  };
  constexpr double kBudgetMs = 500;
  constexpr uint64_t kStepsMin = 3;
  ComputeTime least;
  const auto first = steady_clock::now();
  for (uint64_t step = 0; step < kStepsMin || since(first) < kBudgetMs;
       ++step) {
    double forward_ms = 0;
    const auto begin = steady_clock::now();
    TERSE_RETURN_IF_ERROR(model.ComputeGradient(
        step, [&](const LossSums&) { forward_ms = since(begin); },
        [](uint32_t, std::span<const float>) { return absl::OkStatus(); }));
    const double backward_ms = since(begin) - forward_ms;
    // Memory is new to the first step.
    if (step == 0) continue;
    if (step == 1 ||
        forward_ms + backward_ms < least.forward_ms + least.backward_ms) {
      least = {forward_ms, backward_ms};
    }
  }
  return least;
}

}  // namespace terse
