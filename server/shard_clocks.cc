// Workers that each have a clock of their own (SSP and async): when they get
// which weights; the rest of Shard is in shard.cc.
#include <algorithm>

#include "server/shard.h"

namespace terse {

void Shard::BeginClocks(uint64_t version) {
  for (Round& round : rounds_) OpenRound(round, version + 1);
  std::fill(clocks_.begin(), clocks_.end(), version);
  if (output_.opened) output_.opened(version + 1);
  for (uint32_t w = 0; w < clocks_.size(); ++w) ReleaseTo(w);
}

void Shard::Release() {
  for (uint32_t w = 0; w < clocks_.size(); ++w) {
    const uint64_t version = clocks_[w];
    const bool barrier =
        version >= timeline_.steps_total || barriers_.contains(version);
    if (released_[w] == version ||
        DecideRelease(w, clocks_, barrier, job_.cluster()).action !=
            RoundAction::kClose) {
      continue;
    }
    const bool first =
        version > *std::max_element(released_.begin(), released_.end());
    // Its checkpoint is announced before a worker can begin the step before it.
    if (first && output_.opened) output_.opened(version + 1);
    ReleaseTo(w);
  }
  barriers_.erase(barriers_.begin(), barriers_.upper_bound(this->version()));
}

void Shard::ReleaseTo(uint32_t worker) {
  released_[worker] = clocks_[worker];
  for (uint32_t block : store_.blocks()) {
    const uint32_t tensor = plan_.blocks[block].tensor;
    if (NeedsWeightStats(tensor)) {
      weight_stats_[tensor] = LocalWeightStats(tensor);
    }
    for (Frame& frame : WeightFrames(block, clocks_[worker])) {
      output_.send(worker, std::move(frame));
    }
  }
}

}  // namespace terse
