// What of a round spans blocks: reductions over them, here or at the
// coordinator; the rest of Shard is in shard.cc.
#include <cmath>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "server/shard.h"

namespace terse {

using wire::BlockStatistics;

void Shard::Reduce(StatisticsKind kind, uint32_t r, size_t place,
                   const TensorStats& stats) {
  const uint32_t block = store_.blocks()[place];
  const uint32_t tensor =
      kind == BlockStatistics::GRADIENT_NORM ? 0 : plan_.blocks[block].tensor;
  const ReductionScope scope = ScopeOf(plan_, kind, tensor);
  const ReductionKey key(kind, tensor, r);
  Reduction& reduction = reductions_.try_emplace(key, scope).first->second;
  const absl::Status added = reduction.Add(block, stats);
  TERSE_CHECK(added.ok());
  if (reduction.complete()) {
    const TensorStats merged = reduction.Merged();
    reductions_.erase(key);
    Resolve(kind, tensor, r, merged);
    return;
  }
  size_t held = kind == BlockStatistics::GRADIENT_NORM ? store_.blocks().size()
                                                       : held_blocks_[tensor];
  const auto known = merged_.find({kind, tensor});
  if (known != merged_.end()) held -= CountDone(scope);
  if (reduction.collected() < held) return;
  if (known != merged_.end()) {
    // A process that was lost has come to it with blocks that it published.
    reductions_.erase(key);
    Resolve(kind, tensor, r, TensorStats(known->second));
    return;
  }
  BlockStatistics message;
  message.set_kind(kind);
  message.set_tensor(tensor);
  for (const auto& [b, part] : reduction.blocks()) {
    *message.add_records() = ToRecord(b, part);
  }
  output_.reduce(rounds_[r].version, message);
}

absl::Status Shard::OnReduced(uint64_t step, const BlockStatistics& merged) {
  const ReductionKey key(merged.kind(), merged.tensor(), 0);
  const auto found = reductions_.find(key);
  const bool asked =
      bsp() && found != reductions_.end() && step == rounds_[0].version;
  // A lost process may have, or this one twice.
  if (!asked && replicated() && started_) return absl::OkStatus();
  if (!asked || merged.records_size() != 1) {
    return absl::InvalidArgumentError(absl::StrCat(
        "merged statistics of version ", step, " that were not asked for"));
  }
  reductions_.erase(found);
  Resolve(merged.kind(), merged.tensor(), 0, FromRecord(merged.records(0)));
  return failure_;
}

void Shard::Resolve(StatisticsKind kind, uint32_t tensor, uint32_t r,
                    const TensorStats& merged) {
  const ReductionScope scope = ScopeOf(plan_, kind, tensor);
  const bool again =
      output_.mirror && !merged_.try_emplace({kind, tensor}, merged).second;
  float scale = 1;
  if (kind == BlockStatistics::GRADIENT_NORM) {
    const double norm = std::sqrt(merged.sum);
    const double limit = job_.clip().global_norm();
    if (norm > limit) scale = static_cast<float>(limit / norm);
  } else if (kind == BlockStatistics::WEIGHT_STATS) {
    weight_stats_[tensor] = merged;
  } else if (!again) {
    store_.UpdateLearned(tensor, merged, LearningRateOf(rounds_[r]));
  }
  const Phase waits =
      kind == BlockStatistics::GRADIENT_STATS  ? Phase::kGradientStats
      : kind == BlockStatistics::GRADIENT_NORM ? Phase::kNorm
                                               : Phase::kWeightStats;
  // Finishing the last block opens the next round, which must not be entered.
  for (size_t place = 0; place < store_.blocks().size(); ++place) {
    const uint32_t block = store_.blocks()[place];
    if (block < scope.first_block ||
        block - scope.first_block >= scope.block_count ||
        rounds_[r].blocks[place].phase != waits) {
      continue;
    }
    std::vector<float>& gradient = rounds_[r].blocks[place].gradient;
    switch (kind) {
      case BlockStatistics::GRADIENT_STATS:
        ApplyChainRule(r, place, merged, gradient);
        break;
      case BlockStatistics::GRADIENT_NORM:
        Update(r, place, scale, gradient);
        break;
      default:
        FinishBlock(r, place);
    }
  }
}

size_t Shard::CountDone(const ReductionScope& scope) const {
  size_t done = 0;
  for (size_t place = 0; place < store_.blocks().size(); ++place) {
    const uint32_t block = store_.blocks()[place];
    const Phase phase = rounds_[0].blocks[place].phase;
    done += block >= scope.first_block &&
            block - scope.first_block < scope.block_count &&
            (phase == Phase::kMirroring || phase == Phase::kDone);
  }
  return done;
}

}  // namespace terse
