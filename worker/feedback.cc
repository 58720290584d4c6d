#include "worker/feedback.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "common/base/limits.h"
#include "common/base/status.h"
#include "common/kernels/optimizer_kernels.h"

namespace terse {

Feedback::Feedback(const FeedbackOptions& options, size_t elements)
    : options_(options),
      residual_(options.error_feedback ? elements : 0),
      momentum_(options.momentum > 0 ? elements : 0) {}

void Feedback::BeginStep(std::span<const float> gradient) {
  scale_ = 1;
  if (!(options_.gradient_norm_max > 0)) return;
  const double norm = NormOf(gradient);
  // A NaN passes, for the codec to name.
  if (norm > options_.gradient_norm_max) {
    scale_ = static_cast<float>(options_.gradient_norm_max / norm);
  }
}

absl::StatusOr<size_t> Feedback::Encode(std::span<const float> gradient_block,
                                        EncodeArgs args,
                                        EncodeFunction encode) {
  const size_t count = gradient_block.size();
  std::span<const float> values = gradient_block;
  if (scale_ != 1) {
    scratch_.resize(count);
    for (size_t i = 0; i < count; ++i) scratch_[i] = scale_ * values[i];
    values = scratch_;
  }
  std::span<float> momentum;
  if (!momentum_.empty()) {
    momentum = std::span(momentum_).subspan(args.first_index, count);
    for (size_t i = 0; i < count; ++i) {
      momentum[i] = options_.momentum * momentum[i] + values[i];
    }
    values = momentum;
  }
  if (residual_.empty()) return encode(values, args);

  args.residual = std::span(residual_).subspan(args.first_index, count);
  if (options_.residual_decay != 1) {
    for (float& value : args.residual) value *= options_.residual_decay;
  }
  const bool masking = options_.momentum_masking && !momentum.empty();
  if (masking) {
    before_.resize(count);
    for (size_t i = 0; i < count; ++i) {
      before_[i] = args.residual[i] + values[i];
    }
  }
  TERSE_ASSIGN_OR_RETURN(const size_t bytes, encode(values, args));
  if (masking) {
    // What was sent is what the residual no longer holds.
    for (size_t i = 0; i < count; ++i) {
      if (args.residual[i] != before_[i]) momentum[i] = 0;
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
