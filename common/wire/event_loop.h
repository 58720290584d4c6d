// The one thread that owns a role's state machine (Server, WorkerSession) and
// feeds it what its link delivers.
#ifndef TERSE_COMMON_WIRE_EVENT_LOOP_H_
#define TERSE_COMMON_WIRE_EVENT_LOOP_H_

#include <atomic>
#include <optional>

#include "common/base/clock.h"
#include "common/base/status.h"
#include "common/transport/inbox.h"

namespace terse {

// How long a role waits, after its job has ended, for its peers to leave.
inline constexpr absl::Duration kFarewellTimeout = absl::Seconds(5);

// How often deadlines and the stop flag are looked at.
inline constexpr absl::Duration kTickInterval = absl::Milliseconds(100);

// Waits for the next event, or a tick, and hands it to `role`. When `stop`
// turns non-zero (a signal's number) the job is aborted.
template <typename Role>
void HandleNextEvent(Role& role, Inbox& inbox, const Clock& clock,
                     const std::atomic<int>& stop) {
  std::optional<Inbox::Event> event = inbox.Pop(clock.Now() + kTickInterval);
  if (event && event->frame) {
    role.OnFrame(event->peer, *std::move(event->frame));
  } else if (event) {
    role.OnPeerLost(event->peer, event->reason);
  } else {
    role.OnTime();
  }
  if (const int signal = stop.load(std::memory_order_relaxed);
      signal != 0 && !role.ended()) {
    role.Abort(WithExitCode(absl::CancelledError("stopped by a signal"),
                            static_cast<ExitCode>(128 + signal)));
  }
}

// Runs `role` until its job has ended and its peers have left.
template <typename Role>
absl::Status RunEventLoop(Role& role, Inbox& inbox, const Clock& clock,
                          const std::atomic<int>& stop) {
  std::optional<absl::Time> farewell;
  while (!role.finished()) {
    if (role.ended() && !farewell) farewell = clock.Now() + kFarewellTimeout;
    if (farewell && clock.Now() >= *farewell) break;
    HandleNextEvent(role, inbox, clock, stop);
  }
  return role.result();
}

}  // namespace terse

#endif  // TERSE_COMMON_WIRE_EVENT_LOOP_H_
