#include "worker/observer.h"

#include "common/codec/level_sums.h"
#include "common/observe/observation.h"

namespace terse {

void TensorObserver::OnPayload(uint32_t block,
                               std::span<const std::byte> payload,
                               std::optional<float> shared_scale) {
  const BlockSpec& spec = plan_.blocks[block];
  const TensorPlan& tensor = plan_.tensors[spec.tensor];
  if (block == tensor.first_block) payload_bytes_ = 0;
  payload_bytes_ += payload.size();
  if (block != tensor.first_block || !IsObserved(plan_, spec.tensor)) return;
  sent_.assign(spec.count, 0.0f);
  if (!shared_scale) {
    tensor.codec->DecodeAdd(payload, 1.0f, sent_);
    return;
  }
  LevelSums levels(*tensor.level_codec, /*workers=*/1, spec.count);
  levels.Add(*tensor.level_codec, payload);
  levels.Scale(*shared_scale, sent_);
}

void TensorObserver::OnTensor(uint32_t tensor, std::span<const float> gradient,
                              std::span<const float> residual,
                              std::span<const float> weights) {
  if (!IsObserved(plan_, tensor)) return;
  wire::TensorObservation& seen = *observation_.add_tensors();
  seen.set_tensor(tensor);
  *seen.mutable_gradient() = Summarize(gradient);
  *seen.mutable_sent() = Summarize(sent_);
  if (!residual.empty()) *seen.mutable_residual() = Summarize(residual);
  *seen.mutable_weights() = Summarize(weights);
  seen.set_payload_bytes(payload_bytes_);
  if (const auto bits = LevelEntropyBits(sent_)) seen.set_entropy_bits(*bits);
}

}  // namespace terse
