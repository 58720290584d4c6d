// How a shard goes on from a checkpoint; the rest of Shard is in shard.cc.
#include <algorithm>

#include "common/base/status.h"
#include "server/shard.h"

namespace terse {

void Shard::PublishFirst(uint64_t version) {
  if (!bsp()) {
    BeginClocks(version);
    return;
  }
  attendance_.Begin(version);
  OpenRound(rounds_[0], version);
  for (size_t place = 0; place < store_.blocks().size(); ++place) {
    FinishBlock(0, place);
  }
  if (store_.blocks().empty()) FinishRound(0);
}

absl::Status Shard::Resume(const Timeline& timeline, const SavedState& saved) {
  TERSE_CHECK(!started_);
  TERSE_RETURN_IF_ERROR(store_.Restore(saved));
  TERSE_RETURN_IF_ERROR(SendKept(saved));
  timeline_ = timeline;
  started_ = true;
  std::fill(updates_.begin(), updates_.end(), saved.manifest().updates);
  PublishFirst(saved.manifest().version);
  return absl::OkStatus();
}

absl::Status Shard::SendKept(const SavedState& saved) const {
  const uint64_t version = saved.manifest().version;
  for (uint32_t b = 0; b < plan_.blocks.size(); ++b) {
    const BlockSpec& block = plan_.blocks[b];
    if (block.shard != index_) continue;
    const std::vector<std::string_view> kinds = KeptKinds(plan_, b);
    std::vector<float> values(kinds.size() * block.count);
    for (uint32_t w = 0; w < clocks_.size() && !kinds.empty(); ++w) {
      for (size_t k = 0; k < kinds.size(); ++k) {
        TERSE_RETURN_IF_ERROR(saved.ReadKept(
            w, kinds[k], plan_, b,
            std::span(values).subspan(k * block.count, block.count)));
      }
      output_.send(w, MakeFrame(wire::KEPT, version, b,
                                Buffer::CopyOf(std::as_bytes(
                                    std::span<const float>(values)))));
    }
    if (!plan_.tensors[block.tensor].sum_down) continue;
    values.clear();
    for (const std::span<const float> state : store_.State(b)) {
      values.insert(values.end(), state.begin(), state.end());
    }
    if (values.empty()) continue;
    const Frame frame = MakeFrame(
        wire::STATE, version, b,
        Buffer::CopyOf(std::as_bytes(std::span<const float>(values))));
    for (uint32_t w = 0; w < clocks_.size(); ++w) output_.send(w, frame);
  }
  return absl::OkStatus();
}

uint64_t Shard::version() const {
  if (!started_) return 0;
  return bsp() ? rounds_[0].version - 1
               : *std::min_element(clocks_.begin(), clocks_.end());
}

}  // namespace terse
