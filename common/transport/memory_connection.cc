#include "common/transport/memory_connection.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/limits.h"

namespace terse {
namespace {

absl::Status OverLimitError(size_t bytes, size_t bytes_max) {
  return absl::ResourceExhaustedError(
      absl::StrCat("a frame announces ", bytes, " bytes of payload, ",
                   bytes_max, " are allowed of this peer"));
}

}  // namespace

std::optional<MemoryEndpoint::Side> MemoryEndpoint::Find(PeerId peer) {
  MutexLock lock(mutex);
  const auto found = peers.find(peer);
  if (found == peers.end()) return std::nullopt;
  return found->second;
}

PeerId MemoryConnection::Attach(int side,
                                std::shared_ptr<MemoryEndpoint> endpoint) {
  const PeerId peer = NextPeerId();
  // Known to the endpoint first: as soon as the side has an endpoint, a frame
  // may be delivered to it and answered.
  {
    MutexLock lock(endpoint->mutex);
    endpoint->peers[peer] = {shared_from_this(), side};
  }
  {
    MutexLock lock(mutex_);
    Side& self = sides_[side];
    self.endpoint = std::move(endpoint);
    self.peer = peer;
    self.payload_bytes_max =
        side == 0 ? kFramePayloadBytesMax : kUnadmittedPayloadBytesMax;
  }
  return peer;
}

bool MemoryConnection::gone(int side) {
  MutexLock lock(mutex_);
  return sides_[side].gone;
}

absl::Status MemoryConnection::Send(int from, Frame frame) {
  const int to = 1 - from;
  {
    MutexLock lock(mutex_);
    const Side& self = sides_[from];
    if (self.closed || self.ending || self.gone) return PeerLostError();
    Side& target = sides_[to];
    // The other side is on its way out; nobody would read the frame.
    if (target.ending) return absl::OkStatus();
    const size_t bytes = frame.WireBytes();
    if (bytes > kOutboxBytesMax - target.queued_bytes) {
      return OutboxFullError(target.queued_bytes, bytes);
    }
    target.queued_bytes += bytes;
    target.events.push_back({.frame = std::move(frame)});
  }
  Deliver(to);
  return absl::OkStatus();
}

void MemoryConnection::Admit(int side, size_t payload_bytes_max) {
  MutexLock lock(mutex_);
  sides_[side].payload_bytes_max = payload_bytes_max;
}

void MemoryConnection::Close(int side) {
  {
    MutexLock lock(mutex_);
    Side& self = sides_[side];
    if (self.closed || self.gone) return;
    self.closed = true;
    QueueLoss(1 - side, absl::OkStatus());
    if (sides_[1 - side].endpoint == nullptr) {
      QueueLoss(side, absl::UnavailableError(
                          "closed before the peer could be reached"));
    }
    AwaitIdle(side);
  }
  Deliver(side);
  Deliver(1 - side);
}

void MemoryConnection::Fail(int side, const absl::Status& reason) {
  {
    MutexLock lock(mutex_);
    if (sides_[side].ending) return;
    DropQueue(side);
    QueueLoss(side, reason);
    QueueLoss(1 - side,
              absl::UnavailableError(absl::StrCat(
                  "the peer ended the connection: ", reason.message())));
  }
  Deliver(side);
  Deliver(1 - side);
}

void MemoryConnection::Detach(int side) {
  {
    MutexLock lock(mutex_);
    Side& self = sides_[side];
    self.gone = true;
    self.ending = true;
    DropQueue(side);
    AwaitIdle(side);
    // An orderly close that is still queued stays one.
    QueueLoss(1 - side,
              absl::UnavailableError(absl::StrCat(
                  "the peer", self.endpoint->address.empty() ? "" : " at ",
                  self.endpoint->address, " ended without closing")));
  }
  Deliver(1 - side);
}

void MemoryConnection::Deliver(int to) {
  // The last event may drop the endpoints' references to this connection.
  const auto keep = shared_from_this();
  {
    MutexLock lock(mutex_);
    if (sides_[to].delivering || sides_[to].endpoint == nullptr) return;
    sides_[to].delivering = true;
  }
  while (DeliverOne(to)) {
  }
}

bool MemoryConnection::DeliverOne(int to) {
  Event event;
  {
    MutexLock lock(mutex_);
    Side& self = sides_[to];
    if (self.gone || self.events.empty()) {
      self.delivering = false;
      idle_.NotifyAll();
      return false;
    }
    event = std::move(self.events.front());
    self.events.pop_front();
    if (event.frame) {
      const size_t bytes = event.frame->payload.size();
      self.queued_bytes -= event.frame->WireBytes();
      if (self.closed) return true;
      if (bytes > self.payload_bytes_max) {
        event.lost = OverLimitError(bytes, self.payload_bytes_max);
      }
    } else {
      self.gone = true;
    }
  }
  if (!event.lost.ok() && event.frame) {
    Fail(to, event.lost);
  } else if (event.frame) {
    DeliverFrame(to, *std::move(event.frame));
  } else {
    DeliverLoss(to, event.lost);
  }
  return true;
}

void MemoryConnection::DeliverFrame(int to, Frame frame) {
  std::shared_ptr<MemoryEndpoint> source, target;
  PeerId peer;
  {
    MutexLock lock(mutex_);
    source = sides_[1 - to].endpoint;
    target = sides_[to].endpoint;
    peer = sides_[to].peer;
  }
  source->counters.bytes_sent += frame.WireBytes();
  source->counters.frames_sent += 1;
  target->counters.bytes_received += frame.WireBytes();
  target->counters.frames_received += 1;
  absl::Status status;
  {
    DeliveryScope scope;
    status = target->sink.OnFrame(peer, std::move(frame));
  }
  if (!status.ok()) Fail(to, status);
}

void MemoryConnection::DeliverLoss(int to, const absl::Status& reason) {
  std::shared_ptr<MemoryEndpoint> endpoint;
  PeerId peer;
  {
    MutexLock lock(mutex_);
    endpoint = sides_[to].endpoint;
    peer = sides_[to].peer;
    DropQueue(to);
  }
  {
    DeliveryScope scope;
    endpoint->sink.OnPeerLost(peer, reason);
  }
  // Only now: an endpoint that is going waits for the sides it knows.
  {
    MutexLock lock(endpoint->mutex);
    endpoint->peers.erase(peer);
  }
  // Whoever closed learns that the end has arrived.
  {
    MutexLock lock(mutex_);
    if (!sides_[1 - to].closed) return;
    QueueLoss(1 - to, absl::OkStatus());
  }
  Deliver(1 - to);
}

void MemoryConnection::QueueLoss(int to, const absl::Status& reason) {
  Side& side = sides_[to];
  if (side.ending) return;
  side.ending = true;
  side.events.push_back({.lost = reason});
}

void MemoryConnection::DropQueue(int to) {
  sides_[to].events.clear();
  sides_[to].queued_bytes = 0;
}

void MemoryConnection::AwaitIdle(int side) {
  if (DeliveryScope::Active()) return;
  while (sides_[side].delivering) idle_.Wait(mutex_);
}

}  // namespace terse
