// Moves frames between this process and its peers; knows nothing of their
// contents. Within one connection frames of one urgency arrive in order, and
// all at most once; the layers above tolerate loss across connections. Drivers:
// memory, gRPC, MPI and the simulator's; tests/conformance/link_test.cc holds
// them to one behaviour.
#ifndef TERSE_COMMON_TRANSPORT_LINK_H_
#define TERSE_COMMON_TRANSPORT_LINK_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/frame/frame.h"

namespace terse {

// A connection of this endpoint. Ids are not used again within a process.
enum class PeerId : uint64_t {};

// Receives what a link delivers. Called from the link's threads: any thread,
// but for one peer one call at a time and in order.
class FrameSink {
 public:
  virtual ~FrameSink() = default;

  // The first frame of an unknown peer says that it has connected. An error
  // ends the connection; the peer is then lost with that error.
  virtual absl::Status OnFrame(PeerId peer, Frame frame) = 0;

  // The last call for this peer. `reason` is OK when the peer closed in order.
  virtual void OnPeerLost(PeerId peer, const absl::Status& reason) = 0;
};

// Counted at the link: frames with their headers, plus what the driver adds to
// cut them into messages. Bytes below that (HTTP/2, TCP) are not included.
struct LinkCounters {
  uint64_t bytes_sent = 0;
  uint64_t bytes_received = 0;
  uint64_t frames_sent = 0;
  uint64_t frames_received = 0;
};

class Link {
 public:
  // Ends every connection at once; no call to the sink after it returns. Not to
  // be called from inside the sink.
  virtual ~Link() = default;

  // Starts connecting to `address` and returns at once; frames may be sent from
  // now on. A peer that cannot be reached until `timeout` is lost with
  // Unavailable.
  virtual PeerId Connect(const std::string& address,
                         absl::Duration timeout) = 0;

  // Queues `frame` for `peer`, before less urgent ones that wait; never blocks.
  // Errors: ResourceExhausted (outbox full), NotFound (peer unknown or lost).
  virtual absl::Status Send(PeerId peer, Frame frame) = 0;

  // Payloads up to `bytes` are accepted from `peer` from its next frame on;
  // until then kUnadmittedPayloadBytesMax for peers that connected to us, and
  // kFramePayloadBytesMax for those we connected to.
  virtual void Admit(PeerId peer, size_t payload_bytes_max) = 0;

  // Sends what is queued, then closes; the other side sees OnPeerLost(OK). No
  // frame of the peer is delivered after this returns (from inside a sink:
  // after that sink returns). This side sees OnPeerLost too: OK once everything
  // has gone out and the other side has seen the end, else why it has not. A
  // peer that is not there yet is not waited for any longer: Unavailable.
  virtual void Close(PeerId peer) = 0;

  virtual LinkCounters Counters() const = 0;

  // Where others connect to ("127.0.0.1:41873"); empty if nobody can.
  virtual std::string Address() const = 0;
};

}  // namespace terse

#endif  // TERSE_COMMON_TRANSPORT_LINK_H_
