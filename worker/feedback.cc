#include "worker/feedback.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "common/base/limits.h"
#include "common/base/status.h"
#include "common/kernels/moments.h"
#include "common/kernels/optimizer_kernels.h"

namespace terse {
namespace {

// What Prepare made of a run, unless it is the momentum.
thread_local std::vector<float> prepared;

}  // namespace

Feedback::Feedback(const FeedbackOptions& options, size_t elements)
    : options_(options),
      residual_(options.error_feedback ? elements : 0),
      momentum_(options.momentum > 0 ? elements : 0) {}

std::span<const float> Feedback::Cleaned(std::span<const float> values) {
  if (!options_.zero_non_finite ||
      AddMaxAbs(values.data(), values.size(), nullptr) < kInfinityBits) {
    return values;
  }
  prepared.assign(values.begin(), values.end());
  for (float& value : prepared) value = std::isfinite(value) ? value : 0.0f;
  return prepared;
}

void Feedback::BeginStep(std::span<const float> gradient) {
  scale_ = 1;
  if (!(options_.gradient_norm_max > 0)) return;
  const double norm = NormOf(Cleaned(gradient));
  // A NaN passes, for the codec to name.
  if (norm > options_.gradient_norm_max) {
    scale_ = static_cast<float>(options_.gradient_norm_max / norm);
  }
}

std::span<const float> Feedback::Prepare(std::span<const float> gradient_run,
                                         uint64_t first_index) {
  const size_t count = gradient_run.size();
  if (options_.residual_decay != 1 && !residual_.empty()) {
    for (float& value : std::span(residual_).subspan(first_index, count)) {
      value *= options_.residual_decay;
    }
  }
  std::span<const float> values = Cleaned(gradient_run);
  if (scale_ != 1) {
    prepared.resize(count);
    for (size_t i = 0; i < count; ++i) prepared[i] = scale_ * values[i];
    values = prepared;
  }
  if (momentum_.empty()) return values;
  const auto momentum = std::span(momentum_).subspan(first_index, count);
  for (size_t i = 0; i < count; ++i) {
    momentum[i] = options_.momentum * momentum[i] + values[i];
  }
  return momentum;
}

absl::StatusOr<size_t> Feedback::Encode(std::span<const float> values,
                                        EncodeArgs args,
                                        EncodeFunction encode) {
  const size_t count = values.size();
  if (residual_.empty()) return encode(values, args);
  args.residual = std::span(residual_).subspan(args.first_index, count);
  const bool masking = options_.momentum_masking && !momentum_.empty();
  thread_local std::vector<float> before;
  if (masking) {
    before.resize(count);
    for (size_t i = 0; i < count; ++i) {
      before[i] = args.residual[i] + values[i];
    }
  }
  TERSE_ASSIGN_OR_RETURN(const size_t bytes, encode(values, args));
  if (masking) {
    // What was sent is what the residual no longer holds.
    const auto momentum = std::span(momentum_).subspan(args.first_index, count);
    for (size_t i = 0; i < count; ++i) {
      if (args.residual[i] != before[i]) momentum[i] = 0;
    }
  }
  return bytes;
}

double NormOf(std::span<const float> values) {
  double squares = 0;
  while (!values.empty()) {
    const auto block = values.first(std::min(kBlockElementsMax, values.size()));
    squares += ClippedSquares(block, std::numeric_limits<float>::infinity());
    values = values.subspan(block.size());
  }
  return std::sqrt(squares);
}

}  // namespace terse
