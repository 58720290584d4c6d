#include "worker/uplink.h"

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
      residuals_(plan.tensors.size()) {
  for (size_t t = 0; t < plan.tensors.size(); ++t) {
    if (plan.tensors[t].error_feedback) {
      residuals_[t].resize(ElementCount(plan.model.tensors[t].shape));
    }
  }
}

absl::Status Uplink::Push(uint64_t step, uint32_t tensor,
                          std::span<const float> gradient) {
  const TensorPlan& plan = plan_.tensors[tensor];
  const uint64_t key = DrawKey(Draw::kEncode, {seed_, step, worker_, tensor});
  for (uint32_t i = 0; i < plan.block_count; ++i) {
    const uint32_t id = plan.first_block + i;
    const BlockSpec& block = plan_.blocks[id];
    EncodeArgs args = {.key = key, .first_index = block.first_index};
    if (plan.error_feedback) {
      args.residual =
          std::span(residuals_[tensor]).subspan(block.first_index, block.count);
    }
    Buffer payload = Buffer::Allocate(plan.codec->MaxEncodedBytes(block.count));
    const auto bytes =
        plan.codec->Encode(gradient.subspan(block.first_index, block.count),
                           args, payload.mutable_bytes());
    if (!bytes.ok()) {
      return Annotate(bytes.status(),
                      absl::StrCat("step ", step, ", gradient of ",
                                   plan_.model.tensors[tensor].name));
    }
    payload.Truncate(*bytes);
    TERSE_RETURN_IF_ERROR(send_(
        block.shard, MakeFrame(wire::GRADIENT, step, id, std::move(payload))));
  }
  return absl::OkStatus();
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
