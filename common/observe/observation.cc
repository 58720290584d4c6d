#include "common/observe/observation.h"

#include <algorithm>
#include <cmath>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"

namespace terse {
namespace {

// More distinct values than this are no levels, but numbers.
constexpr size_t kLevelsMax = 512;

std::vector<float> SampleOf(std::span<const float> values) {
  std::vector<float> sample;
  if (values.empty()) return sample;
  const size_t stride =
      (values.size() + kObservedElementsMax - 1) / kObservedElementsMax;
  sample.reserve(values.size() / stride + 1);
  for (size_t i = 0; i < values.size(); i += stride) {
    if (std::isfinite(values[i])) sample.push_back(values[i]);
  }
  return sample;
}

absl::Status ValidateHistogram(const wire::Histogram& histogram) {
  const bool finite =
      std::isfinite(histogram.min()) && std::isfinite(histogram.max()) &&
      std::isfinite(histogram.sum()) && std::isfinite(histogram.sum_squares());
  if (finite && histogram.counts_size() <= kHistogramBins &&
      histogram.min() <= histogram.max()) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError("a histogram of an observation is none");
}

}  // namespace

uint64_t ObserveEverySteps(uint64_t steps_total) {
  return std::max(kObservationStepsMin,
                  (steps_total + kObservationsMax - 1) / kObservationsMax);
}

bool IsObserved(const Plan& plan, uint32_t tensor) {
  return plan.model.tensors[tensor].role == TensorSpec::Role::kWeight &&
         !plan.tensors[tensor].low_rank.any();
}

wire::Histogram Summarize(std::span<const float> values) {
  const std::vector<float> sample = SampleOf(values);
  wire::Histogram histogram;
  if (sample.empty()) return histogram;
  const auto [low, high] = std::minmax_element(sample.begin(), sample.end());
  const double min = *low;
  const double width = (static_cast<double>(*high) - min) / kHistogramBins;
  double sum = 0;
  double sum_squares = 0;
  std::vector<uint32_t> counts(kHistogramBins);
  for (const float value : sample) {
    sum += value;
    sum_squares += static_cast<double>(value) * value;
    const double bin = width > 0 ? (value - min) / width : 0;
    ++counts[std::min(static_cast<int>(bin), kHistogramBins - 1)];
  }
  histogram.set_min(min);
  histogram.set_max(*high);
  histogram.set_sum(sum);
  histogram.set_sum_squares(sum_squares);
  histogram.mutable_counts()->Add(counts.begin(), counts.end());
  return histogram;
}

std::optional<double> LevelEntropyBits(std::span<const float> values) {
  const std::vector<float> sample = SampleOf(values);
  if (sample.empty()) return std::nullopt;
  absl::flat_hash_map<float, uint32_t> counts;
  for (const float value : sample) {
    ++counts[value + 0.0f];  // -0 and 0 are one symbol.
    if (counts.size() > kLevelsMax) return std::nullopt;
  }
  std::vector<uint32_t> sorted;  // So that the sum has an order.
  for (const auto& [value, count] : counts) sorted.push_back(count);
  std::sort(sorted.begin(), sorted.end());
  double bits = 0;
  for (const uint32_t count : sorted) {
    const double share = count / static_cast<double>(sample.size());
    bits -= share * std::log2(share);
  }
  return std::max(bits, 0.0);
}

absl::Status ValidateObservation(const Plan& plan,
                                 const wire::Observation& observation) {
  if (observation.tensors_size() > static_cast<int>(plan.tensors.size())) {
    return absl::InvalidArgumentError("an observation of too many tensors");
  }
  for (const wire::TensorObservation& seen : observation.tensors()) {
    if (seen.tensor() >= plan.tensors.size() ||
        !IsObserved(plan, seen.tensor())) {
      return absl::InvalidArgumentError(absl::StrCat(
          "an observation of tensor ", seen.tensor(), ", which is no weight"));
    }
    if (!std::isfinite(seen.entropy_bits())) {
      return absl::InvalidArgumentError("an entropy that is no number");
    }
    for (const wire::Histogram* histogram :
         {&seen.gradient(), &seen.sent(), &seen.residual(), &seen.weights(),
          &seen.shadow_weights()}) {
      const absl::Status valid = ValidateHistogram(*histogram);
      if (!valid.ok()) return valid;
    }
  }
  return absl::OkStatus();
}

}  // namespace terse
