#include "worker/uplink.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/random.h"
#include "common/base/status.h"
#include "proto/wire.pb.h"

namespace terse {

Uplink::Uplink(const Plan& plan, uint64_t seed, uint32_t worker,
               uint32_t threads,
               std::function<absl::Status(uint32_t, Frame)> send)
    : plan_(plan),
      seed_(seed),
      worker_(worker),
      pool_(threads),
      // A few for each thread: the first leave early.
      payloads_(threads > 1 ? 4 * threads : 1),
      send_(std::move(send)),
      feedback_(plan.tensors.size()),
      low_rank_(plan.tensors.size()),
      progress_(plan.tensors.size()),
      shared_scales_(plan.blocks.size()),
      payload_bytes_(plan.tensors.size()) {
  for (size_t b = 0; b < plan.blocks.size(); ++b) {
    shared_scales_[b] = InitialScale(plan.tensors[plan.blocks[b].tensor]);
  }
  for (size_t t = 0; t < plan.tensors.size(); ++t) {
    if (plan.tensors[t].feedback.any()) {
      feedback_[t] = std::make_unique<Feedback>(
          plan.tensors[t].feedback, ElementCount(plan.model.tensors[t].shape));
    }
    if (!plan.tensors[t].low_rank.any()) continue;
    low_rank_[t] = std::make_unique<LowRankTensor>(
        plan.tensors[t].low_rank,
        feedback_[t] != nullptr ? feedback_[t]->residual() : std::span<float>(),
        plan.tensors[t].feedback.residual_decay);
  }
}

uint32_t& Uplink::SentBlocks(uint64_t step, uint32_t tensor) {
  Progress& progress = progress_[tensor];
  if (progress.step != step) progress = {.step = step};
  return progress.blocks;
}

absl::Status Uplink::PushReady(uint64_t step, uint32_t tensor,
                               std::span<const float> ready) {
  const TensorPlan& plan = plan_.tensors[tensor];
  // The norm that clips is the whole gradient's, and so are factors and scans.
  if (plan.feedback.gradient_norm_max > 0 || plan.low_rank.any() ||
      plan.codec->ScansTensor()) {
    return absl::OkStatus();
  }
  uint32_t end = SentBlocks(step, tensor);
  for (; end < plan.block_count; ++end) {
    const BlockSpec& block = plan_.blocks[plan.first_block + end];
    if (block.first_index + block.count > ready.size()) break;
  }
  return PushBlocks(step, tensor, end, ready);
}

absl::Status Uplink::Push(uint64_t step, uint32_t tensor,
                          std::span<const float> gradient) {
  if (low_rank_[tensor] != nullptr) {
    return PushLeftFactor(step, tensor, gradient);
  }
  const TensorPlan& plan = plan_.tensors[tensor];
  TERSE_RETURN_IF_ERROR(PushBlocks(step, tensor, plan.block_count, gradient));
  if (plan.error_feedback) {
    MeasureGradient(step, gradient);
    MeasureResidual(step, tensor);
  }
  // A step that is repeated sends everything again.
  SentBlocks(step, tensor) = 0;
  return absl::OkStatus();
}

absl::Status Uplink::PushBlocks(uint64_t step, uint32_t tensor, uint32_t end,
                                std::span<const float> gradient) {
  uint32_t& sent = SentBlocks(step, tensor);
  if (sent == 0 && feedback_[tensor] != nullptr) {
    feedback_[tensor]->BeginStep(gradient);
  }
  const TensorPlan& plan = plan_.tensors[tensor];
  std::optional<Scanned> scanned;
  if (plan.codec->ScansTensor()) {
    TERSE_ASSIGN_OR_RETURN(scanned, ScanTensor(step, tensor, gradient));
  }
  // Ties of a scan go to the blocks that come first: one after the other.
  const auto side_by_side = static_cast<uint32_t>(
      scanned && scanned->scan.ties > 0 ? 1 : payloads_.size());
  while (sent < end) {
    const uint32_t first = plan.first_block + sent;
    const uint32_t count = std::min(side_by_side, end - sent);
    pool_.Run(count, [&](size_t i) {
      payloads_[i] = EncodeBlock(step, first + static_cast<uint32_t>(i),
                                 gradient, scanned ? &*scanned : nullptr);
    });
    for (uint32_t i = 0; i < count; ++i, ++sent) {
      if (!payloads_[i].ok()) {
        return Annotated(payloads_[i].status(), step, tensor);
      }
      TERSE_RETURN_IF_ERROR(
          SendBlock(step, first + i, *std::move(payloads_[i])));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<Uplink::Scanned> Uplink::ScanTensor(
    uint64_t step, uint32_t tensor, std::span<const float> gradient) {
  Scanned scanned = {.prepared = gradient};
  EncodeArgs args = {
      .ratio = SparseRatio(plan_.tensors[tensor], step / steps_per_epoch_)};
  if (Feedback* const feedback = feedback_[tensor].get(); feedback != nullptr) {
    scanned.prepared = feedback->Prepare(gradient, 0);
    args.residual = feedback->residual();
  }
  const auto scan = plan_.tensors[tensor].codec->Scan(scanned.prepared, args);
  if (!scan.ok()) return Annotated(scan.status(), step, tensor);
  scanned.scan = *scan;
  return scanned;
}

absl::StatusOr<Buffer> Uplink::EncodeBlock(uint64_t step, uint32_t id,
                                           std::span<const float> gradient,
                                           Scanned* scanned) {
  const BlockSpec& block = plan_.blocks[id];
  const TensorPlan& plan = plan_.tensors[block.tensor];
  const EncodeArgs args = {
      .key = DrawKey(Draw::kEncode, {seed_, step, worker_, block.tensor}),
      .first_index = block.first_index,
      .ratio = SparseRatio(plan, step / steps_per_epoch_),
      .scan = scanned != nullptr ? &scanned->scan : nullptr};
  Buffer payload = Buffer::Allocate(plan.codec->MaxEncodedBytes(block.count));
  const std::optional<float> scale = ScaleInUse(id, step);
  const auto encode = [&](std::span<const float> values,
                          const EncodeArgs& args) {
    return scale ? plan.level_codec->EncodeShared(values, args, *scale,
                                                  payload.mutable_bytes())
                 : plan.codec->Encode(values, args, payload.mutable_bytes());
  };
  Feedback* const feedback = feedback_[block.tensor].get();
  std::span<const float> values =
      (scanned != nullptr ? scanned->prepared : gradient)
          .subspan(block.first_index, block.count);
  if (scanned == nullptr && feedback != nullptr) {
    values = feedback->Prepare(values, block.first_index);
  }
  TERSE_ASSIGN_OR_RETURN(const size_t bytes,
                         feedback != nullptr
                             ? feedback->Encode(values, args, encode)
                             : encode(values, args));
  payload.Truncate(bytes);
  return payload;
}

absl::Status Uplink::SendBlock(uint64_t step, uint32_t id, Buffer payload) {
  const BlockSpec& block = plan_.blocks[id];
  payload_bytes_[block.tensor] += payload.size();
  if (observer_ != nullptr) {
    observer_->OnPayload(id, payload.bytes(), ScaleInUse(id, step));
  }
  Frame frame = MakeFrame(wire::GRADIENT, step, id, std::move(payload));
  frame.urgency = plan_.UrgencyOf(id);
  return send_(block.shard, std::move(frame));
}

std::optional<float> Uplink::ScaleInUse(uint32_t block, uint64_t step) const {
  const TensorPlan& plan = plan_.tensors[plan_.blocks[block].tensor];
  if (plan.level_codec == nullptr) return std::nullopt;
  // Nothing is agreed on before the codec's first step.
  const bool given = plan.level_codec->sum_options().given_scale.has_value();
  if (step == plan_.codec_since && !given) return std::nullopt;
  return shared_scales_[block];
}

absl::Status Uplink::Annotated(const absl::Status& status, uint64_t step,
                               uint32_t tensor) const {
  return Annotate(status, absl::StrCat("step ", step, ", gradient of ",
                                       plan_.model.tensors[tensor].name));
}

absl::Status Uplink::PushLeftFactor(uint64_t step, uint32_t tensor,
                                    std::span<const float> gradient) {
  if (plan_.tensors[tensor].error_feedback) MeasureGradient(step, gradient);
  return SendFactor(wire::GRADIENT, step, tensor,
                    low_rank_[tensor]->Start(step, gradient));
}

absl::Status Uplink::PushFactor(uint64_t step, uint32_t block,
                                std::span<const std::byte> basis) {
  const uint32_t tensor = block < plan_.blocks.size()
                              ? plan_.blocks[block].tensor
                              : static_cast<uint32_t>(low_rank_.size());
  if (tensor >= low_rank_.size() || low_rank_[tensor] == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat("a basis for block ", block, ", which has no factors"));
  }
  TERSE_ASSIGN_OR_RETURN(const std::span<const float> right,
                         low_rank_[tensor]->Finish(step, basis));
  TERSE_RETURN_IF_ERROR(SendFactor(wire::FACTOR, step, tensor, right));
  low_rank_[tensor]->Settle();
  if (plan_.tensors[tensor].error_feedback) MeasureResidual(step, tensor);
  return absl::OkStatus();
}

absl::Status Uplink::SendFactor(wire::FrameKind kind, uint64_t step,
                                uint32_t tensor,
                                std::span<const float> factor) {
  const TensorPlan& plan = plan_.tensors[tensor];
  Buffer payload = Buffer::Allocate(plan.codec->MaxEncodedBytes(factor.size()));
  const absl::StatusOr<size_t> bytes =
      plan.codec->Encode(factor, {}, payload.mutable_bytes());
  if (!bytes.ok()) {
    return Annotate(bytes.status(),
                    absl::StrCat("step ", step, ", factor of the gradient of ",
                                 plan_.model.tensors[tensor].name));
  }
  payload.Truncate(*bytes);
  payload_bytes_[tensor] += payload.size();
  const uint32_t block = plan.first_block;
  Frame frame = MakeFrame(kind, step, block, std::move(payload));
  frame.urgency = plan_.UrgencyOf(block);
  return send_(plan_.blocks[block].shard, std::move(frame));
}

void Uplink::MeasureGradient(uint64_t step, std::span<const float> gradient) {
  if (step % kResidualNormSteps != 0) return;
  if (step != norms_step_) {
    norms_step_ = step;
    residual_squares_ = 0;
    gradient_squares_ = 0;
  }
  const double norm = NormOf(gradient);
  gradient_squares_ += norm * norm;
}

void Uplink::MeasureResidual(uint64_t step, uint32_t tensor) {
  if (step % kResidualNormSteps != 0) return;
  const double residual = NormOf(Residual(tensor));
  residual_squares_ += residual * residual;
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

void Uplink::TakeBack(uint32_t id, const Buffer& payload) {
  const BlockSpec& block = plan_.blocks[id];
  plan_.tensors[block.tensor].codec->DecodeAdd(
      payload.bytes(), 1.0f,
      feedback_[block.tensor]->residual().subspan(block.first_index,
                                                  block.count));
}

absl::Status Uplink::PushBuffer(wire::FrameKind kind, uint64_t version,
                                uint32_t tensor,
                                std::span<const float> values) {
  const TensorPlan& plan = plan_.tensors[tensor];
  for (uint32_t i = 0; i < plan.block_count; ++i) {
    const uint32_t id = plan.first_block + i;
    const BlockSpec& block = plan_.blocks[id];
    TERSE_RETURN_IF_ERROR(send_(
        block.shard, MakeFrame(kind, version, id,
                               Buffer::CopyOf(std::as_bytes(values.subspan(
                                   block.first_index, block.count))))));
  }
  return absl::OkStatus();
}

}  // namespace terse
