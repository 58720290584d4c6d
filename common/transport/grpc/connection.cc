#include "common/transport/grpc/connection.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/limits.h"
#include "common/base/status.h"

namespace terse {
namespace {

grpc::Status ToGrpc(const absl::Status& status) {
  // The codes have the same numbers.
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()),
                      std::string(status.message()));
}

}  // namespace

std::shared_ptr<GrpcConnection> GrpcLinkCore::Find(PeerId peer) {
  MutexLock lock(mutex);
  const auto found = connections.find(peer);
  return found == connections.end() ? nullptr : found->second;
}

GrpcConnection::GrpcConnection(std::shared_ptr<GrpcLinkCore> core, PeerId peer,
                               std::string name, size_t payload_bytes_max)
    : core_(std::move(core)),
      peer_(peer),
      name_(std::move(name)),
      payload_bytes_max_(payload_bytes_max),
      assembler_(payload_bytes_max) {}

absl::Status GrpcConnection::Send(Frame frame) {
  {
    MutexLock lock(mutex_);
    if (closed_ || done_ || Over()) return PeerLostError();
    const size_t bytes = frame.WireBytes();
    if (bytes > kOutboxBytesMax - std::min(kOutboxBytesMax, outbox_.bytes())) {
      return OutboxFullError(outbox_.bytes(), bytes);
    }
    outbox_.Push(std::move(frame));
  }
  Advance();
  return absl::OkStatus();
}

void GrpcConnection::Close() {
  {
    MutexLock lock(mutex_);
    closed_ = true;
    // Two sinks that close each other's peers must not wait for each other.
    while (delivering_ && !DeliveryScope::Active()) idle_.Wait(mutex_);
  }
  Advance();
}

void GrpcConnection::Abort() {
  {
    MutexLock lock(mutex_);
    silent_ = true;
    FailLocked(absl::CancelledError("the link has ended"));
    // Even a failure that is being told is cut short.
    if (stream_ != nullptr) stream_->Cancel();
  }
  Advance();
}

void GrpcConnection::Fail(const absl::Status& reason) {
  {
    MutexLock lock(mutex_);
    FailLocked(reason);
  }
  Advance();
}

void GrpcConnection::FailUnconnected(const absl::Status& reason) {
  {
    MutexLock lock(mutex_);
    if (connected_) return;
    FailLocked(reason);
  }
  Advance();
}

void GrpcConnection::FailLocked(const absl::Status& reason) {
  if (done_ || !failure_.ok()) return;
  failure_ = reason;
  outbox_.Clear();
  if (stream_ == nullptr || ended_) return;
  // A side that can tell its status does so, unless a write is in the way.
  if (!stream_->ends_call() || writing_) stream_->Cancel();
}

void GrpcConnection::CutOff() {
  MutexLock lock(mutex_);
  if (stream_ != nullptr) stream_->Cancel();
}

void GrpcConnection::FailUnheard(absl::Duration waited) {
  if (heard_) return;
  Fail(absl::DeadlineExceededError(absl::StrCat(
      name_, " has sent no frame within ", absl::FormatDuration(waited))));
}

void GrpcConnection::OnStarted(std::shared_ptr<GrpcStream> stream) {
  {
    MutexLock lock(mutex_);
    TERSE_CHECK(stream_ == nullptr && !done_);
    stream_ = std::move(stream);
    if (!failure_.ok()) stream_->Cancel();
  }
  Advance();
}

bool GrpcConnection::OnAttemptFailed() {
  MutexLock lock(mutex_);
  if (connected_ || closed_ || !failure_.ok()) return false;
  stream_ = nullptr;
  ended_ = false;
  return true;
}

void GrpcConnection::OnConnected() {
  {
    MutexLock lock(mutex_);
    connected_ = true;
  }
  Advance();
}

void GrpcConnection::OnMessage(const grpc::ByteBuffer& message) {
  if (message.Length() == 0) {
    {
      MutexLock lock(mutex_);
      peer_closed_ = true;
      outbox_.Clear();
    }
    Advance();
    return;
  }
  core_->counters.bytes_received += message.Length();
  std::vector<grpc::Slice> slices;
  absl::Status status;
  if (!message.Dump(&slices).ok()) {
    status = absl::InternalError("a message of gRPC cannot be read");
  }
  assembler_.set_payload_bytes_max(payload_bytes_max_);
  for (const grpc::Slice& slice : slices) {
    if (!status.ok()) break;
    status = assembler_.Append(
        std::as_bytes(std::span(slice.begin(), slice.size())),
        [this](Frame frame) { return Deliver(std::move(frame)); });
  }
  if (!status.ok()) Fail(Annotate(status, name_));
}

absl::Status GrpcConnection::Deliver(Frame frame) {
  {
    MutexLock lock(mutex_);
    if (closed_ || silent_ || !failure_.ok()) return absl::OkStatus();
    delivering_ = true;
  }
  heard_ = true;
  core_->counters.frames_received += 1;
  absl::Status status;
  {
    DeliveryScope scope;
    status = core_->sink.OnFrame(peer_, std::move(frame));
  }
  // The sink may have admitted the peer.
  assembler_.set_payload_bytes_max(payload_bytes_max_);
  MutexLock lock(mutex_);
  delivering_ = false;
  idle_.NotifyAll();
  return status;
}

void GrpcConnection::OnReadsOver() {
  {
    MutexLock lock(mutex_);
    broken_ = true;
    outbox_.Clear();
  }
  Advance();
}

void GrpcConnection::OnWriteDone(bool ok) {
  {
    MutexLock lock(mutex_);
    writing_ = false;
    if (!ok) {
      // Why comes with the end of the stream.
      broken_ = true;
      marker_sent_ = false;
      outbox_.Clear();
    }
  }
  Advance();
}

void GrpcConnection::Advance() {
  const grpc::ByteBuffer* message = nullptr;
  std::shared_ptr<GrpcStream> stream;
  {
    MutexLock lock(mutex_);
    message = NextMessage();
    stream = stream_;
  }
  // Outside the lock, because gRPC writes to the socket on this thread. The
  // stream cannot end meanwhile: it is `writing_`.
  if (message != nullptr) stream->Write(message);
}

const grpc::ByteBuffer* GrpcConnection::NextMessage() {
  if (stream_ == nullptr || writing_ || ended_ || done_) return nullptr;
  const bool writes = connected_ && !Over();
  if (writes && !outbox_.empty()) {
    Outbox::Taken taken = outbox_.Take(core_->chunk_bytes);
    core_->counters.bytes_sent += taken.bytes;
    core_->counters.frames_sent += taken.frames;
    message_ = std::move(taken.message);
    writing_ = true;
    return &message_;
  }
  if (writes && closed_ && !marker_sent_) {
    message_ = EndMarker();
    marker_sent_ = true;
    writing_ = true;
    return &message_;
  }
  if (TimeToEnd()) {
    ended_ = true;
    stream_->End(ToGrpc(failure_));
  }
  return nullptr;
}

bool GrpcConnection::TimeToEnd() const {
  if (Over()) return true;
  // A side whose end would cut off what the peer is still sending waits for
  // the peer to have seen the marker.
  return marker_sent_ && !stream_->ends_call();
}

absl::Status GrpcConnection::FinalReason(const grpc::Status& status) const {
  if (!failure_.ok()) return failure_;
  if (peer_closed_) return absl::OkStatus();
  if (closed_ && marker_sent_ && status.ok()) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat(
      name_,
      connected_ ? ": the connection broke off" : ": could not be reached",
      status.error_message().empty()
          ? std::string()
          : absl::StrCat(" (", status.error_message(), ")")));
}

void GrpcConnection::OnStreamDone(const grpc::Status& status) {
  const auto keep = shared_from_this();
  absl::Status reason;
  bool silent;
  {
    MutexLock lock(mutex_);
    reason = FinalReason(status);
    silent = silent_;
    done_ = true;
    outbox_.Clear();
    stream_ = nullptr;
  }
  if (!silent) {
    DeliveryScope scope;
    core_->sink.OnPeerLost(peer_, reason);
  }
  // Only now: a link that is going waits for the connections it knows.
  MutexLock lock(core_->mutex);
  core_->connections.erase(peer_);
  core_->changed.NotifyAll();
}

}  // namespace terse
