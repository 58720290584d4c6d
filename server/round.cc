#include "server/round.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/checkpoint/members.h"

namespace terse {

RoundOptions MakeRoundOptions(const Job& job) {
  const Cluster& cluster = job.cluster();
  if (cluster.mode() != Cluster::BSP) return {};
  return {.quorum = cluster.workers() - cluster.backup_workers(),
          .continues_without = ContinuesWithout(job),
          .lag_steps_max = cluster.staleness_steps_max()};
}

RoundDecision DecideRound(absl::Time now, const RoundState& round,
                          const RoundOptions& options) {
  const uint32_t quorum = options.continues_without && round.live_workers > 0
                              ? std::min(options.quorum, round.live_workers)
                              : options.quorum;
  const std::string have =
      absl::StrCat("step ", round.step, " has ", round.contributions, " of ",
                   quorum, " gradients");
  if (round.contributions >= quorum) {
    if (round.lag_steps <= options.lag_steps_max) {
      return {RoundAction::kClose, have};
    }
    return {RoundAction::kWait,
            absl::StrCat(have, " and the slowest worker is ", round.lag_steps,
                         " steps behind")};
  }
  if (round.live_workers < quorum) {
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
                            bool barrier, const Cluster& cluster) {
  TERSE_CHECK(worker < clocks.size());
  const uint64_t slowest = *std::min_element(clocks.begin(), clocks.end());
  const uint64_t lead = clocks[worker] - slowest;
  const std::string reason = absl::StrCat("worker ", worker, " is ", lead,
                                          " steps ahead of the slowest");
  uint64_t lead_max = std::numeric_limits<uint64_t>::max();
  if (cluster.mode() == Cluster::BSP || barrier) {
    lead_max = 0;
  } else if (cluster.mode() == Cluster::SSP) {
    lead_max = cluster.staleness_steps_max();
  }
  return {lead <= lead_max ? RoundAction::kClose : RoundAction::kWait, reason};
}

}  // namespace terse
