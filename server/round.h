// When a round of gradients closes and when a worker may go on: pure functions
// of what is known, so that tests and the simulator decide exactly as the
// server.
#ifndef TERSE_SERVER_ROUND_H_
#define TERSE_SERVER_ROUND_H_

#include <cstdint>
#include <limits>
#include <span>
#include <string>

#include "absl/time/time.h"
#include "proto/job.pb.h"

namespace terse {

enum class RoundAction { kWait, kClose, kAbort };

struct RoundDecision {
  RoundAction action;
  std::string reason;  // For people; logged when it changes.
};

struct RoundOptions {
  // Contributions that close a round: all workers' in BSP, fewer with backup
  // workers, one in SSP and async.
  uint32_t quorum = 1;
  // Whether those that are left are enough where there are fewer.
  bool continues_without = false;
  // How far the slowest may be behind a round that closes.
  uint64_t lag_steps_max = std::numeric_limits<uint64_t>::max();
  // From the first contribution on.
  absl::Duration timeout = absl::InfiniteDuration();
};

RoundOptions MakeRoundOptions(const Job& job);

// One block's gradients of one step, as far as they have come.
struct RoundState {
  uint64_t step = 0;
  uint32_t contributions = 0;
  // Workers that can still contribute to this round, whether they have or not.
  uint32_t live_workers = 0;
  absl::Time opened = absl::InfinitePast();  // First contribution.
  uint64_t lag_steps = 0;  // From here to the step of the slowest.
};

RoundDecision DecideRound(absl::Time now, const RoundState& round,
                          const RoundOptions& options);

// Whether a worker that has contributed `clocks[worker]` steps may have the
// weights for its next one: always in async; in SSP while it is at most
// `staleness_steps_max` ahead of the slowest; in BSP when all are as far.
// `barrier`: these weights wait for everybody in every mode, being the last
// ones or to be kept.
RoundDecision DecideRelease(uint32_t worker, std::span<const uint64_t> clocks,
                            bool barrier, const Cluster& cluster);

}  // namespace terse

#endif  // TERSE_SERVER_ROUND_H_
