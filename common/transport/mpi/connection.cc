#include "common/transport/mpi/connection.h"

#include "common/transport/mpi/envelope.h"

namespace terse {

bool MpiConnection::CanSend(int window_max) const {
  if (ending || !open() || in_flight >= window_max) return false;
  return !outbox.empty() || (closed && !marker_sent);
}

std::optional<MpiConnection::Outgoing> MpiConnection::NextMessage(
    int window_max) {
  if (!CanSend(window_max)) return std::nullopt;
  Outgoing outgoing;
  Envelope envelope{.target = remote_id, .source = id()};
  if (outbox.empty()) {
    envelope.kind = EnvelopeKind::kEnd;
    AppendEnvelope(envelope, outgoing.head);
    marker_sent = true;
  } else {
    std::vector<std::byte> copied;
    outgoing.taken = outbox.Take(endpoint->chunk_bytes, copied);
    envelope.data_bytes = static_cast<uint32_t>(outgoing.taken.data.size());
    outgoing.head.reserve(kEnvelopeBytes + copied.size());
    AppendEnvelope(envelope, outgoing.head);
    outgoing.head.insert(outgoing.head.end(), copied.begin(), copied.end());
    endpoint->counters.bytes_sent += outgoing.taken.bytes;
    endpoint->counters.frames_sent += outgoing.taken.frames;
  }
  ++in_flight;
  return outgoing;
}

}  // namespace terse
