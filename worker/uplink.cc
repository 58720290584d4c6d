#include "worker/uplink.h"

#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/random.h"
#include "common/base/status.h"
#include "proto/wire.pb.h"

namespace terse {

Uplink::Uplink(const Plan& plan, uint64_t seed, uint32_t worker,
               std::function<absl::Status(uint32_t, Frame)> send)
    : plan_(plan),
      seed_(seed),
      worker_(worker),
      send_(std::move(send)),
      feedback_(plan.tensors.size()),
      shared_scales_(plan.blocks.size()),
      payload_bytes_(plan.tensors.size()) {
  for (size_t t = 0; t < plan.tensors.size(); ++t) {
    if (plan.tensors[t].feedback.any()) {
      feedback_[t] = std::make_unique<Feedback>(
          plan.tensors[t].feedback, ElementCount(plan.model.tensors[t].shape));
    }
  }
}

absl::Status Uplink::Push(uint64_t step, uint32_t tensor,
                          std::span<const float> gradient) {
  const TensorPlan& plan = plan_.tensors[tensor];
  const uint64_t key = DrawKey(Draw::kEncode, {seed_, step, worker_, tensor});
  Feedback* const feedback = feedback_[tensor].get();
  if (feedback != nullptr) feedback->BeginStep(gradient);
  for (uint32_t i = 0; i < plan.block_count; ++i) {
    const uint32_t id = plan.first_block + i;
    const BlockSpec& block = plan_.blocks[id];
    const EncodeArgs args = {.key = key, .first_index = block.first_index};
    Buffer payload = Buffer::Allocate(plan.codec->MaxEncodedBytes(block.count));
    const auto encode = [&](std::span<const float> values,
                            const EncodeArgs& args) {
      // Nothing is agreed on before the first step.
      return plan.level_codec != nullptr && step > 0
                 ? plan.level_codec->EncodeShared(values, args,
                                                  shared_scales_[id],
                                                  payload.mutable_bytes())
                 : plan.codec->Encode(values, args, payload.mutable_bytes());
    };
    const auto values = gradient.subspan(block.first_index, block.count);
    const auto bytes = feedback != nullptr
                           ? feedback->Encode(values, args, encode)
                           : encode(values, args);
    if (!bytes.ok()) {
      return Annotate(bytes.status(),
                      absl::StrCat("step ", step, ", gradient of ",
                                   plan_.model.tensors[tensor].name));
    }
    payload.Truncate(*bytes);
    payload_bytes_[tensor] += payload.size();
    if (observer_ != nullptr) {
      const bool shared = plan.level_codec != nullptr && step > 0;
      observer_->OnPayload(
          id, payload.bytes(),
          shared ? std::optional(shared_scales_[id]) : std::nullopt);
    }
    TERSE_RETURN_IF_ERROR(send_(
        block.shard, MakeFrame(wire::GRADIENT, step, id, std::move(payload))));
  }
  if (plan.error_feedback) MeasureResidual(step, tensor, gradient);
  return absl::OkStatus();
}

void Uplink::MeasureResidual(uint64_t step, uint32_t tensor,
                             std::span<const float> gradient) {
  if (step % kResidualNormSteps != 0) return;
  if (step != norms_step_) {
    norms_step_ = step;
    residual_squares_ = 0;
    gradient_squares_ = 0;
  }
  const double residual = NormOf(Residual(tensor));
  const double norm = NormOf(gradient);
  residual_squares_ += residual * residual;
  gradient_squares_ += norm * norm;
}

std::optional<double> Uplink::ResidualNormRatio() const {
  if (!(gradient_squares_ > 0)) return std::nullopt;
  return std::sqrt(residual_squares_ / gradient_squares_);
}

std::span<const float> Uplink::Residual(uint32_t tensor) const {
  const Feedback* const feedback = feedback_[tensor].get();
  if (feedback == nullptr) return {};
  return feedback->residual();
}

absl::Status Uplink::PushBuffer(uint64_t version, uint32_t tensor,
                                std::span<const float> values) {
  const TensorPlan& plan = plan_.tensors[tensor];
  for (uint32_t i = 0; i < plan.block_count; ++i) {
    const uint32_t id = plan.first_block + i;
    const BlockSpec& block = plan_.blocks[id];
    TERSE_RETURN_IF_ERROR(send_(
        block.shard, MakeFrame(wire::BUFFERS, version, id,
                               Buffer::CopyOf(std::as_bytes(values.subspan(
                                   block.first_index, block.count))))));
  }
  return absl::OkStatus();
}

}  // namespace terse
