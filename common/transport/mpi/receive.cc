// What the engine does with messages that come.
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/base/limits.h"
#include "common/base/status.h"
#include "common/base/string_view.h"
#include "common/transport/mpi/engine.h"

namespace terse {
namespace {

constexpr size_t kConnectionsMax = kWorkersMax + kServersMax;

// How often a port nobody has yet is asked for.
constexpr absl::Duration kRetryAfter = absl::Milliseconds(50);

}  // namespace

void MpiEngine::OnReceived(int rank, const Envelope& envelope,
                           std::span<const std::byte> copied,
                           std::span<const std::byte> data) {
  ConnectionPtr connection;
  {
    MutexLock lock(mutex_);
    if (envelope.kind == EnvelopeKind::kConnect) {
      OnConnect(rank, envelope);
      return;
    }
    const auto found = connections_.find(envelope.target);
    if (found == connections_.end() || found->second->rank != rank ||
        found->second->ending) {
      // It ended here before the answer came, and could not say so.
      if (envelope.kind == EnvelopeKind::kAccept) {
        Say(rank, EnvelopeKind::kFail, envelope.source, envelope.target,
            "it no longer waits for an answer");
      }
      return;
    }
    connection = found->second;
    if (envelope.kind != EnvelopeKind::kData) {
      OnControl(connection, envelope,
                std::string_view(reinterpret_cast<const char*>(copied.data()),
                                 copied.size()));
      return;
    }
  }
  OnData(connection, copied, data);
}

void MpiEngine::OnConnect(int rank, const Envelope& envelope) {
  const auto listener = listeners_.find(static_cast<uint32_t>(envelope.target));
  if (listener == listeners_.end() || stopping_) {
    Say(rank, EnvelopeKind::kRefuse, envelope.source, 0);
    return;
  }
  if (connections_.size() >= kConnectionsMax) {
    Say(rank, EnvelopeKind::kFail, envelope.source, 0,
        absl::StrCat("it has ", kConnectionsMax, " connections, its limit"));
    return;
  }
  const PeerId peer = NextPeerId();
  auto connection = std::make_shared<MpiConnection>(
      listener->second, peer, absl::StrCat("mpi:", rank), rank,
      kUnadmittedPayloadBytesMax);
  connection->remote_id = envelope.source;
  connections_[connection->id()] = connection;
  Say(rank, EnvelopeKind::kAccept, envelope.source, connection->id());
}

void MpiEngine::OnControl(const ConnectionPtr& connection,
                          const Envelope& envelope, std::string_view text) {
  switch (envelope.kind) {
    case EnvelopeKind::kAccept:
      connection->remote_id = envelope.source;
      std::erase(connecting_, connection);
      Schedule(connection);
      break;
    case EnvelopeKind::kRefuse:
      if (connection->closed) {
        End(connection, NotThereError(*connection));
      } else {
        connection->retry_at = absl::Now() + kRetryAfter;
      }
      break;
    case EnvelopeKind::kEnd:
      Say(connection->rank, EnvelopeKind::kEndSeen, connection->remote_id,
          connection->id());
      End(connection, absl::OkStatus());
      break;
    case EnvelopeKind::kEndSeen:
      if (connection->marker_sent) End(connection, absl::OkStatus());
      break;
    case EnvelopeKind::kFail:
      End(connection, absl::UnavailableError(absl::StrCat(
                          connection->name,
                          ": the peer ended the connection: ", ToAbsl(text))));
      break;
    case EnvelopeKind::kConnect:
    case EnvelopeKind::kData:
      break;
  }
}

void MpiEngine::OnData(const ConnectionPtr& connection,
                       std::span<const std::byte> copied,
                       std::span<const std::byte> data) {
  connection->endpoint->counters.bytes_received += copied.size() + data.size();
  connection->assembler.set_payload_bytes_max(connection->payload_bytes_max);
  const auto deliver = [&](Frame frame) {
    return Deliver(connection, std::move(frame));
  };
  absl::Status status = connection->assembler.Append(copied, deliver);
  if (status.ok()) status = connection->assembler.Append(data, deliver);
  if (status.ok()) return;
  MutexLock lock(mutex_);
  Fail(connection, Annotate(status, connection->name));
}

absl::Status MpiEngine::Deliver(const ConnectionPtr& connection, Frame frame) {
  {
    MutexLock lock(mutex_);
    if (connection->closed || connection->ending) return absl::OkStatus();
    delivering_ = connection;
  }
  connection->endpoint->counters.frames_received += 1;
  absl::Status status;
  {
    DeliveryScope scope;
    status =
        connection->endpoint->sink.OnFrame(connection->peer, std::move(frame));
  }
  // The sink may have admitted the peer.
  connection->assembler.set_payload_bytes_max(connection->payload_bytes_max);
  MutexLock lock(mutex_);
  delivering_ = nullptr;
  changed_.NotifyAll();
  return status;
}

void MpiEngine::OnSent(uint64_t id) {
  MutexLock lock(mutex_);
  const auto found = connections_.find(id);
  if (found == connections_.end()) return;
  --found->second->in_flight;
  Schedule(found->second);
}

void MpiEngine::OnBroken(int rank, const absl::Status& why) {
  MutexLock lock(mutex_);
  if (rank < 0) broken_ = why;
  for (const auto& [id, connection] : connections_) {
    if (rank < 0 || connection->rank == rank) {
      End(connection, Annotate(why, connection->name));
    }
  }
}

}  // namespace terse
