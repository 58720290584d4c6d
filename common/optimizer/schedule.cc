#include "common/optimizer/schedule.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "common/base/portable_math.h"

namespace terse {
namespace {

// Steps of `epochs`, to the nearest, at most what a uint64_t holds.
uint64_t StepsOf(double epochs, uint64_t steps_per_epoch) {
  const double steps =
      std::floor(epochs * static_cast<double>(steps_per_epoch) + 0.5);
  return steps < 0x1p63 ? static_cast<uint64_t>(steps) : uint64_t{1} << 63;
}

double StepRate(const Optimizer& options, uint64_t step,
                uint64_t steps_per_epoch) {
  double rate = options.learning_rate();
  for (float epochs : options.schedule().milestones_epochs()) {
    if (step >= StepsOf(epochs, steps_per_epoch)) {
      rate *= options.schedule().factor();
    }
  }
  return rate;
}

double ExponentialRate(double first, double last, double progress) {
  // A logarithm has no zero: the smallest normal float stands for it.
  const double end = std::max(last, double{std::numeric_limits<float>::min()});
  return PortableExp((1 - progress) * PortableLog(first) +
                     progress * PortableLog(end));
}

double CosineRate(double first, double last, double progress) {
  return last + (first - last) * (1 + PortableCosPi(progress)) / 2;
}

// Share of the way from step `first` to the last of `steps_total`.
double Progress(uint64_t step, uint64_t first, uint64_t steps_total) {
  if (step <= first || steps_total < 2) return 0;
  if (step >= steps_total - 1) return 1;
  return static_cast<double>(step - first) /
         static_cast<double>(steps_total - 1 - first);
}

}  // namespace

float LearningRate(const Optimizer& options, uint64_t step,
                   uint64_t steps_total, uint64_t steps_per_epoch) {
  const Schedule& schedule = options.schedule();
  const uint64_t warmup = StepsOf(schedule.warmup_epochs(), steps_per_epoch);
  const uint64_t peak = warmup > 0 ? warmup - 1 : 0;
  const double progress = Progress(step, peak, steps_total);
  double rate = options.learning_rate();
  switch (schedule.kind()) {
    case Schedule::CONSTANT:
      break;
    case Schedule::STEP:
      rate = StepRate(options, step, steps_per_epoch);
      break;
    case Schedule::EXPONENTIAL:
      // The ends exactly: a logarithm and back would miss them by a rounding.
      if (progress == 1) {
        rate = schedule.final_learning_rate();
      } else if (progress > 0) {
        rate = ExponentialRate(rate, schedule.final_learning_rate(), progress);
      }
      break;
    case Schedule::COSINE:
      rate = CosineRate(rate, schedule.final_learning_rate(), progress);
      break;
  }
  if (step < peak) {
    rate *= static_cast<double>(step + 1) / static_cast<double>(warmup);
  }
  return static_cast<float>(rate);
}

float GlorotUpdateScale(const Optimizer& options, uint64_t fan_in,
                        uint64_t fan_out) {
  const double fans =
      static_cast<double>(fan_in) + static_cast<double>(fan_out);
  const double square = fans / 1.5;
  return static_cast<float>(
      options.kind() == Optimizer::ADAM ? std::sqrt(square) : square);
}

}  // namespace terse
