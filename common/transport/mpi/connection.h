// One peer of an MPI link; its state belongs to the process's engine.
#ifndef TERSE_COMMON_TRANSPORT_MPI_CONNECTION_H_
#define TERSE_COMMON_TRANSPORT_MPI_CONNECTION_H_

#include <atomic>
#include <memory>
#include <optional>
#include <string>

#include "absl/time/time.h"
#include "common/transport/delivery.h"
#include "common/transport/link.h"
#include "common/transport/mpi/address.h"
#include "common/transport/mpi/outbox.h"

namespace terse {

// What the connections of a link share.
struct MpiEndpoint {
  MpiEndpoint(FrameSink& sink, size_t chunk_bytes)
      : sink(sink), chunk_bytes(chunk_bytes) {}

  FrameSink& sink;
  const size_t chunk_bytes;
  AtomicLinkCounters counters;
};

// The engine's lock guards everything but the assembler, which is the progress
// thread's, and payload_bytes_max.
struct MpiConnection {
  MpiConnection(std::shared_ptr<MpiEndpoint> endpoint, PeerId peer,
                std::string name, int rank, size_t payload_bytes_max)
      : endpoint(std::move(endpoint)),
        peer(peer),
        name(std::move(name)),
        rank(rank),
        payload_bytes_max(payload_bytes_max),
        assembler(payload_bytes_max) {}

  uint64_t id() const { return static_cast<uint64_t>(peer); }
  // May say something to the peer.
  bool open() const { return remote_id != 0; }
  // The last try to connect found nobody; there will be another.
  bool refused() const { return retry_at != absl::InfiniteFuture(); }

  // The next message, if one may go out now. `window_max`: how many may be on
  // their way at a time.
  struct Outgoing {
    std::vector<std::byte> head;
    MpiOutbox::Taken taken;
  };
  std::optional<Outgoing> NextMessage(int window_max);
  // Whether NextMessage would give one.
  bool CanSend(int window_max) const;

  const std::shared_ptr<MpiEndpoint> endpoint;
  const PeerId peer;
  const std::string name;  // For people.
  const int rank;

  std::atomic<size_t> payload_bytes_max;
  FrameAssembler assembler;

  // Of the side that connects, until it is open.
  uint32_t port = 0;
  absl::Duration timeout;
  absl::Time deadline = absl::InfiniteFuture();
  absl::Time retry_at = absl::InfiniteFuture();

  uint64_t remote_id = 0;
  MpiOutbox outbox;
  int in_flight = 0;         // Messages on their way.
  bool waiting = false;      // In the engine's list of those that may send.
  bool closed = false;       // By Close.
  bool marker_sent = false;  // After Close.
  bool ending = false;       // Its loss is queued or told.
  bool silent = false;       // Its link is going.
};

// Why a connection that is closed before anybody answered is lost.
inline absl::Status NotThereError(const MpiConnection& connection) {
  return absl::UnavailableError(connection.name +
                                " was closed before anybody listened there");
}

}  // namespace terse

#endif  // TERSE_COMMON_TRANSPORT_MPI_CONNECTION_H_
