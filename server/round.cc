#include "server/round.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"

namespace terse {

RoundOptions MakeRoundOptions(const Cluster& cluster) {
  const bool bsp = cluster.mode() == Cluster::BSP;
  return {.workers = cluster.workers(), .quorum = bsp ? cluster.workers() : 1};
}

RoundDecision DecideRound(absl::Time now, const RoundState& round,
                          const RoundOptions& options) {
  const std::string have =
      absl::StrCat("step ", round.step, " has ", round.contributions, " of ",
                   options.quorum, " gradients");
  if (round.contributions >= options.quorum) {
    return {RoundAction::kClose, have};
  }
  if (round.live_workers < options.quorum) {
    return {RoundAction::kAbort,
            absl::StrCat(have, " and only ", round.live_workers,
                         " workers are left")};
  }
  if (round.contributions > 0 && options.timeout < absl::InfiniteDuration() &&
      now - round.opened >= options.timeout) {
    return {
        RoundAction::kAbort,
        absl::StrCat(have, " after ", absl::FormatDuration(options.timeout))};
  }
  return {RoundAction::kWait, have};
}

RoundDecision DecideRelease(uint32_t worker, std::span<const uint64_t> clocks,
                            uint64_t steps_total, const Cluster& cluster) {
  TERSE_CHECK(worker < clocks.size());
  const uint64_t slowest = *std::min_element(clocks.begin(), clocks.end());
  const uint64_t lead = clocks[worker] - slowest;
  const std::string reason = absl::StrCat("worker ", worker, " is ", lead,
                                          " steps ahead of the slowest");
  uint64_t lead_max = steps_total;
  if (cluster.mode() == Cluster::BSP || clocks[worker] >= steps_total) {
    lead_max = 0;
  } else if (cluster.mode() == Cluster::SSP) {
    lead_max = cluster.staleness_steps_max();
  }
  return {lead <= lead_max ? RoundAction::kClose : RoundAction::kWait, reason};
}

}  // namespace terse
