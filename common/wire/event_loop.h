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

// In the stop flag.
inline constexpr int kSignalNumber = 0xff;
inline constexpr int kSecondSignal = 0x100;

// How long a job that was told to stop takes for its checkpoint.
inline constexpr absl::Duration kStopTimeout = absl::Seconds(20);

// The end of a job that was stopped without a checkpoint.
inline absl::Status StoppedStatus(int signal) {
  return WithExitCode(absl::CancelledError("stopped by a signal"),
                      static_cast<ExitCode>(128 + (signal & kSignalNumber)));
}

// Hands an event that has come to `role`; false: none has.
template <typename Role>
bool HandlePendingEvent(Role& role, Inbox& inbox) {
  std::optional<Inbox::Event> event = inbox.Pop(absl::InfinitePast());
  if (!event) return false;
  if (event->frame) {
    role.OnFrame(event->peer, *std::move(event->frame));
  } else {
    role.OnPeerLost(event->peer, event->reason);
  }
  return true;
}

// Waits for the next event, or a tick, and hands it to `role`. When `stop`
// turns non-zero (a signal's number) the job is stopped, at a second signal
// aborted.
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
  const int signal = stop.load(std::memory_order_relaxed);
  if (signal == 0 || role.ended()) return;
  if ((signal & kSecondSignal) == 0) {
    role.Stop(signal);
  } else {
    role.Abort(StoppedStatus(signal));
  }
}

// Runs `role` until its job has ended and its peers have left.
template <typename Role>
absl::Status RunEventLoop(Role& role, Inbox& inbox, const Clock& clock,
                          const std::atomic<int>& stop) {
  std::optional<absl::Time> farewell;
  absl::Time tick = clock.Now();
  while (!role.finished()) {
    const absl::Time now = clock.Now();
    if (role.ended() && !farewell) farewell = now + kFarewellTimeout;
    if (farewell && now >= *farewell) break;
    // Under a stream of frames too.
    if (now >= tick) {
      role.OnTime();
      tick = now + kTickInterval;
    }
    HandleNextEvent(role, inbox, clock, stop);
  }
  return role.result();
}

}  // namespace terse

#endif  // TERSE_COMMON_WIRE_EVENT_LOOP_H_
