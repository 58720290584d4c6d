// One connection between two endpoints of a MemoryNetwork.
#ifndef TERSE_COMMON_TRANSPORT_MEMORY_CONNECTION_H_
#define TERSE_COMMON_TRANSPORT_MEMORY_CONNECTION_H_

#include <array>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>

#include "common/base/mutex.h"
#include "common/transport/delivery.h"
#include "common/transport/link.h"

namespace terse {

class MemoryConnection;

// What the connections of one endpoint share; outlives the endpoint for as long
// as one of them needs it.
struct MemoryEndpoint {
  MemoryEndpoint(std::string address, FrameSink& sink)
      : address(std::move(address)), sink(sink) {}

  // A side of a connection.
  struct Side {
    std::shared_ptr<MemoryConnection> connection;
    int index;
  };
  std::optional<Side> Find(PeerId peer);

  const std::string address;
  FrameSink& sink;
  AtomicLinkCounters counters;
  Mutex mutex;
  std::unordered_map<PeerId, Side> peers ABSL_GUARDED_BY(mutex);
};

// Side 0 connected, side 1 was connected to. The thread that finds a side idle
// delivers to it until nothing is left; others only queue. No lock is held
// while a sink is called, so a sink may send, close and connect.
class MemoryConnection : public std::enable_shared_from_this<MemoryConnection> {
 public:
  // Gives `side` to `endpoint` and returns the id of the other one there.
  PeerId Attach(int side, std::shared_ptr<MemoryEndpoint> endpoint);

  // Delivers what is on its way to `to`.
  void Deliver(int to) ABSL_LOCKS_EXCLUDED(mutex_);

  // Whether `side` was told of the end, or its endpoint has gone.
  bool gone(int side);

  absl::Status Send(int from, Frame frame);
  void Admit(int side, size_t payload_bytes_max);
  void Close(int side);
  // Ends both sides with `reason`; frames on their way to `side` are dropped.
  void Fail(int side, const absl::Status& reason);
  // The endpoint of `side` is going: no call to its sink after this returns.
  void Detach(int side);

 private:
  struct Event {
    std::optional<Frame> frame;
    absl::Status lost;  // If there is no frame.
  };
  struct Side {
    std::shared_ptr<MemoryEndpoint> endpoint;
    PeerId peer{};
    size_t payload_bytes_max = 0;
    // On their way to this side.
    std::deque<Event> events;
    size_t queued_bytes = 0;
    bool delivering = false;
    bool closed = false;  // By its own endpoint.
    bool ending = false;  // Its loss is queued or told.
    bool gone = false;    // Told, or its endpoint is going.
  };

  // Delivers one event; false if there is none.
  bool DeliverOne(int to) ABSL_LOCKS_EXCLUDED(mutex_);
  void DeliverFrame(int to, Frame frame) ABSL_LOCKS_EXCLUDED(mutex_);
  void DeliverLoss(int to, const absl::Status& reason)
      ABSL_LOCKS_EXCLUDED(mutex_);
  void QueueLoss(int to, const absl::Status& reason)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void DropQueue(int to) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void AwaitIdle(int side) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  Mutex mutex_;
  CondVar idle_;
  std::array<Side, 2> sides_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace terse

#endif  // TERSE_COMMON_TRANSPORT_MEMORY_CONNECTION_H_
