#include "tests/sim/residual_check.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "common/codec/level_sums.h"
#include "proto/wire.pb.h"

namespace terse {
namespace {

constexpr double kRounding = 0x1p-20;

}  // namespace

ResidualCheck::ResidualCheck(const Plan& plan)
    : plan_(plan), approximated_(plan.tensors.size()) {}

void ResidualCheck::Begin(const Uplink& uplink, uint64_t step, uint32_t tensor,
                          std::span<const float> gradient) {
  const TensorPlan& plan = plan_.tensors[tensor];
  if (!plan.error_feedback) return;
  wrong_ = CheckApproximation(uplink, tensor);
  step_ = step;
  tensor_ = tensor;
  const Feedback& kept = *uplink.KeptOf(tensor);
  const FeedbackOptions& options = plan.feedback;
  const auto counted = [&](float value) {
    return options.zero_non_finite && !std::isfinite(value) ? 0.0 : value;
  };
  double scale = 1;
  if (options.gradient_norm_max > 0) {
    double squares = 0;
    for (const float value : gradient) {
      squares += counted(value) * counted(value);
    }
    scale = std::min(1.0, options.gradient_norm_max / std::sqrt(squares));
  }
  elements_.assign(gradient.size(), Element());
  for (size_t i = 0; i < gradient.size(); ++i) {
    const double before = double{options.residual_decay} * kept.residual()[i];
    const double clipped = scale * counted(gradient[i]);
    const double speed = kept.momentum().empty()
                             ? 0
                             : double{options.momentum} * kept.momentum()[i];
    elements_[i] = {
        .whole = before + speed + clipped,
        .sum = std::abs(before) + std::abs(speed) + std::abs(clipped),
        .momentum = speed + clipped};
  }
}

void ResidualCheck::OnSent(const Frame& frame) {
  if (frame.type == wire::GRADIENT && tensor_ &&
      plan_.blocks[frame.block].tensor == *tensor_) {
    frames_.push_back(frame);
  }
  if (frame.type != wire::FACTOR) return;
  const uint32_t tensor = plan_.blocks[frame.block].tensor;
  Approximated& whole = approximated_[tensor];
  if (whole.elements.empty() || frame.step != whole.step) return;
  const TensorPlan& plan = plan_.tensors[tensor];
  whole.right.assign(plan.low_rank.right_elements(), 0.0f);
  plan.codec->DecodeAdd(frame.payload.bytes(), 1.0f, whole.right);
}

void ResidualCheck::Decode(const Uplink& uplink, const Frame& frame) {
  const TensorPlan& plan = plan_.tensors[*tensor_];
  const BlockSpec& block = plan_.blocks[frame.block];
  const auto target = std::span(sent_).subspan(block.first_index, block.count);
  const LevelCodec* const levels = plan.level_codec;
  // Nothing is agreed on before the codec's first step.
  if (levels == nullptr ||
      (frame.step == plan_.codec_since && !levels->sum_options().given_scale)) {
    plan.codec->DecodeAdd(frame.payload.bytes(), 1.0f, target);
    return;
  }
  LevelSums sums(*levels, /*workers=*/1, block.count);
  sums.Add(*levels, frame.payload.bytes());
  sums.Scale(uplink.SharedScale(frame.block), target);
}

std::string ResidualCheck::Check(const Element& element, double sent,
                                 double terms, double kept, uint32_t tensor,
                                 size_t i) {
  ++elements_checked_;
  const double rounding = kRounding * (element.sum + terms);
  if (std::abs(element.whole - sent - kept) <= rounding) return "";
  return absl::StrCat("step ", step_, ", element ", i, " of ",
                      plan_.model.tensors[tensor].name, ": of ", element.whole,
                      ", ", sent, " was sent and ", kept, " is kept");
}

std::string ResidualCheck::End(const Uplink& uplink) {
  if (!tensor_) return "";
  const uint32_t tensor = *tensor_;
  const TensorPlan& plan = plan_.tensors[tensor];
  const Feedback& kept = *uplink.KeptOf(tensor);
  std::string wrong = std::exchange(wrong_, "");
  if (plan.low_rank.any()) {
    approximated_[tensor] = {.step = step_, .elements = std::move(elements_)};
    frames_.clear();
  }
  sent_.assign(elements_.size(), 0.0f);
  for (const Frame& frame : std::exchange(frames_, {})) {
    Decode(uplink, frame);
    const BlockSpec& block = plan_.blocks[frame.block];
    for (size_t i = block.first_index; i < block.first_index + block.count;
         ++i) {
      if (!wrong.empty()) break;
      const Element& element = elements_[i];
      wrong = Check(element, sent_[i], std::abs(sent_[i]), kept.residual()[i],
                    tensor, i);
      if (!wrong.empty() || kept.momentum().empty()) continue;
      const bool stops = plan.feedback.momentum_masking && sent_[i] != 0;
      const double momentum = stops ? 0 : element.momentum;
      if (std::abs(kept.momentum()[i] - momentum) > kRounding * element.sum) {
        wrong =
            absl::StrCat("step ", step_, ", element ", i, " of ",
                         plan_.model.tensors[tensor].name, ": its momentum is ",
                         kept.momentum()[i], " instead of ", momentum);
      }
    }
  }
  tensor_.reset();
  return wrong;
}

std::string ResidualCheck::CheckApproximation(const Uplink& uplink,
                                              uint32_t tensor) {
  const Approximated whole = std::exchange(approximated_[tensor], {});
  if (whole.right.empty()) return "";
  const LowRank& shape = plan_.tensors[tensor].low_rank;
  const std::span<const float> left = uplink.LowRankOf(tensor)->basis();
  const std::span<const float> kept = uplink.Residual(tensor);
  for (size_t i = 0; i < kept.size(); ++i) {
    double sent = 0;
    double terms = 0;
    for (size_t k = 0; k < shape.rank; ++k) {
      const double term = double{left[k * shape.rows + i / shape.columns]} *
                          whole.right[k * shape.columns + i % shape.columns];
      sent += term;
      terms += std::abs(term) * static_cast<double>(shape.rank);
    }
    std::string wrong =
        Check(whole.elements[i], sent, terms, kept[i], tensor, i);
    if (!wrong.empty()) return wrong;
  }
  return "";
}

}  // namespace terse
