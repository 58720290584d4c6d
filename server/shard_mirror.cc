// How a shard is mirrored, and how another process goes on with what its mirror
// has; the rest of Shard is in shard.cc.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "server/shard.h"

namespace terse {

using wire::BlockStatistics;

std::optional<Frame> Shard::MirrorFrame(uint32_t block,
                                        std::optional<uint64_t> before) const {
  const size_t place = places_.at(block);
  const uint32_t tensor = plan_.blocks[block].tensor;
  const BlockRound& state = rounds_[0].blocks[place];
  uint64_t version = rounds_[0].version;
  wire::MirroredBlock rest;
  if (state.phase == Phase::kMirroring || state.phase == Phase::kDone) {
    const auto norm = merged_.find({BlockStatistics::GRADIENT_NORM, 0});
    const auto stats = merged_.find({BlockStatistics::GRADIENT_STATS, tensor});
    if (norm != merged_.end()) {
      *rest.mutable_gradient_norm() = ToRecord(0, norm->second);
    }
    if (stats != merged_.end()) {
      *rest.mutable_gradient_stats() = ToRecord(0, stats->second);
    }
  } else if (state.phase == Phase::kCollecting ||
             state.phase == Phase::kCollectingFactors) {
    --version;
  } else {
    return std::nullopt;
  }
  if (NeedsWeightStats(tensor)) {
    *rest.mutable_weight_stats() = ToRecord(0, weight_stats_[tensor]);
  }
  store_.CopyLearned(tensor, rest);
  rest.set_updates(updates_[place]);
  if (state.phase == Phase::kMirroring && mirrors_sum_[place] && before &&
      *before + 1 == version && !state.sum.empty()) {
    rest.set_sum(state.sum.bytes().data(), state.sum.size());
    Buffer payload = Buffer::Allocate(rest.ByteSizeLong());
    rest.SerializeToArray(payload.mutable_bytes().data(),
                          static_cast<int>(payload.size()));
    return MakeFrame(wire::MIRROR_SUM, version, block, std::move(payload));
  }
  Buffer sum = plan_.tensors[tensor].sum_down ? state.sum : Buffer();
  for (const Frame& frame : published_.Of(version, place)) {
    if (frame.type == wire::SUMS) sum = frame.payload;
  }
  rest.set_sum(sum.bytes().data(), sum.size());
  return MakeFrame(wire::MIRROR, version, block,
                   MirrorPayload(job_, plan_, store_, block, rest));
}

absl::Status Shard::OnMirrored(uint64_t version, uint32_t block) {
  const auto place = places_.find(block);
  if (!started_ || place == places_.end() || version > rounds_[0].version) {
    return absl::InvalidArgumentError(absl::StrCat(
        "version ", version, " of block ", block, " was not sent"));
  }
  // What was sent again to another mirror may be published.
  if (version == rounds_[0].version &&
      rounds_[0].blocks[place->second].phase == Phase::kMirroring) {
    Publish(0, place->second);
  }
  return failure_;
}

absl::Status Shard::Restore(const Timeline& timeline, const Mirror& mirror) {
  TERSE_CHECK(!started_ && bsp() && mirror.whole());
  const uint64_t newest = mirror.newest();
  const uint64_t oldest = mirror.oldest();
  if (newest - oldest > 1 || newest > timeline.steps_total) {
    return absl::DataLossError(
        absl::StrCat("a mirror has versions from ", oldest, " to ", newest));
  }
  timeline_ = timeline;
  started_ = true;
  // Where some blocks are a version ahead, that version is being made.
  const uint64_t making = oldest < newest ? newest : newest + 1;
  attendance_.Begin(making - 1);
  std::fill(clocks_.begin(), clocks_.end(), making - 1);
  OpenRound(rounds_[0], newest);
  // What belongs to a tensor as a whole is then left as its oldest block has
  // it, on which its gradients are still to be computed.
  for (const bool is_newest : {true, false}) {
    for (const auto& [block, kept] : mirror.kept()) {
      if ((kept.version == newest) != is_newest) continue;
      RestoreBlock(places_.at(block), mirror, is_newest);
    }
  }
  if (making > newest) OpenRound(rounds_[0], making);
  if (output_.opened) output_.opened(making);
  return absl::OkStatus();
}

void Shard::RestoreBlock(size_t place, const Mirror& mirror, bool newest) {
  const uint32_t block = store_.blocks()[place];
  const Mirror::Kept& kept = mirror.kept().at(block);
  const uint32_t tensor = plan_.blocks[block].tensor;
  std::vector<float> floats(MirroredFloats(job_, plan_, block));
  mirror.store().CopyTo(block, floats);
  store_.TakeFrom(block, floats);
  updates_[place] = kept.rest.updates();
  if (kept.rest.has_weight_stats()) {
    weight_stats_[tensor] = FromRecord(kept.rest.weight_stats());
  }
  Round& round = rounds_[0];
  const std::pair stats_key(BlockStatistics::GRADIENT_STATS, tensor);
  if (!newest) {
    // Learned scales go ahead with the first of the tensor's blocks.
    if (!merged_.contains(stats_key)) store_.TakeLearned(tensor, kept.rest);
    return;
  }
  store_.TakeLearned(tensor, kept.rest);
  if (kept.rest.has_gradient_stats()) {
    merged_[stats_key] = FromRecord(kept.rest.gradient_stats());
  }
  if (kept.rest.has_gradient_norm()) {
    merged_[{BlockStatistics::GRADIENT_NORM, 0}] =
        FromRecord(kept.rest.gradient_norm());
  }
  if (kept.rest.has_weight_stats()) {
    merged_[{BlockStatistics::WEIGHT_STATS, tensor}] =
        FromRecord(kept.rest.weight_stats());
  }
  BlockRound& state = round.blocks[place];
  state.phase = Phase::kDone;
  ++round.blocks_done;
  published_.Add(
      round.version, place,
      WeightFrames(block, round.version, Buffer::CopyOf(kept.rest.sum())));
}

absl::Status Shard::TakeEarlyFactors(absl::Time now, size_t place) {
  BlockRound& state = rounds_[0].blocks[place];
  for (auto& [worker, factor] : std::exchange(state.early_factors, {})) {
    TERSE_RETURN_IF_ERROR(
        Collect(now, worker, rounds_[0].version - 1, store_.blocks()[place],
                Phase::kCollectingFactors, std::move(factor)));
  }
  return failure_;
}

}  // namespace terse
