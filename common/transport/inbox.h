// A queue between a link's threads and the one thread that owns a role's state.
#ifndef TERSE_COMMON_TRANSPORT_INBOX_H_
#define TERSE_COMMON_TRANSPORT_INBOX_H_

#include <deque>
#include <optional>

#include "absl/base/thread_annotations.h"
#include "absl/time/time.h"
#include "common/base/mutex.h"
#include "common/transport/link.h"

namespace terse {

class Inbox final : public FrameSink {
 public:
  struct Event {
    PeerId peer;
    std::optional<Frame> frame;  // Absent: the peer is lost.
    absl::Status reason;         // Why it is lost.
  };

  // `bytes_max`: bytes of frames held, headers included; a peer that sends more
  // is dropped (ResourceExhausted).
  explicit Inbox(size_t bytes_max) : bytes_max_(bytes_max) {}

  absl::Status OnFrame(PeerId peer, Frame frame) override;
  void OnPeerLost(PeerId peer, const absl::Status& reason) override;

  // The next event, or nothing if none came until `deadline` or Wake was
  // called.
  std::optional<Event> Pop(absl::Time deadline);

  // Ends a waiting Pop (or the next one) without an event; async-signal-unsafe.
  void Wake();

 private:
  const size_t bytes_max_;
  Mutex mutex_;
  CondVar changed_;
  std::deque<Event> events_ ABSL_GUARDED_BY(mutex_);
  size_t bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  bool woken_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace terse

#endif  // TERSE_COMMON_TRANSPORT_INBOX_H_
