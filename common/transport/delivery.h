// What every driver needs to call a sink and to wait for such a call to end.
#ifndef TERSE_COMMON_TRANSPORT_DELIVERY_H_
#define TERSE_COMMON_TRANSPORT_DELIVERY_H_

#include <atomic>

#include "common/transport/link.h"

namespace terse {

// Marks the calling thread as inside a sink for its lifetime. Whoever waits for
// the end of a delivery must not do so from inside one: two sinks that close
// each other's peers would wait for ever.
class DeliveryScope {
 public:
  DeliveryScope() { ++depth_; }
  ~DeliveryScope() { --depth_; }
  DeliveryScope(const DeliveryScope&) = delete;
  DeliveryScope& operator=(const DeliveryScope&) = delete;

  static bool Active() { return depth_ > 0; }

 private:
  static inline thread_local int depth_ = 0;
};

// Counters that many connections add to.
struct AtomicLinkCounters {
  std::atomic<uint64_t> bytes_sent{0};
  std::atomic<uint64_t> bytes_received{0};
  std::atomic<uint64_t> frames_sent{0};
  std::atomic<uint64_t> frames_received{0};

  LinkCounters Load() const {
    return {.bytes_sent = bytes_sent.load(),
            .bytes_received = bytes_received.load(),
            .frames_sent = frames_sent.load(),
            .frames_received = frames_received.load()};
  }
};

// An id no other call of this process has returned.
PeerId NextPeerId();

// What Link::Send reports.
absl::Status PeerLostError();
absl::Status OutboxFullError(size_t queued_bytes, size_t frame_bytes);

}  // namespace terse

#endif  // TERSE_COMMON_TRANSPORT_DELIVERY_H_
