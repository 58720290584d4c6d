// One peer of a gRPC link: what is independent of which side opened the stream.
#ifndef TERSE_COMMON_TRANSPORT_GRPC_CONNECTION_H_
#define TERSE_COMMON_TRANSPORT_GRPC_CONNECTION_H_

#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/status.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <unordered_map>

#include "common/base/mutex.h"
#include "common/transport/delivery.h"
#include "common/transport/grpc/message.h"
#include "common/transport/link.h"

namespace terse {

class GrpcConnection;

// What the connections of a link share; outlives the link for as long as one
// of them needs it.
struct GrpcLinkCore {
  GrpcLinkCore(FrameSink& sink, size_t chunk_bytes)
      : sink(sink), chunk_bytes(chunk_bytes) {}

  std::shared_ptr<GrpcConnection> Find(PeerId peer);

  // Owns `object`, and counts it in `live` until it has been destroyed.
  template <typename T>
  static std::shared_ptr<T> Track(std::shared_ptr<GrpcLinkCore> core,
                                  T* object) {
    {
      MutexLock lock(core->mutex);
      ++core->live;
    }
    return std::shared_ptr<T>(object, [core](T* dying) {
      delete dying;
      MutexLock lock(core->mutex);
      --core->live;
      core->changed.NotifyAll();
    });
  }

  FrameSink& sink;
  const size_t chunk_bytes;
  AtomicLinkCounters counters;
  Mutex mutex;
  CondVar changed;
  std::unordered_map<PeerId, std::shared_ptr<GrpcConnection>> connections
      ABSL_GUARDED_BY(mutex);
  // Objects that refer to a channel. gRPC ends its threads with the last
  // channel, and must not be made to do so by one of them; so the link waits
  // for these before it releases its channels.
  int live ABSL_GUARDED_BY(mutex) = 0;
  // The link is going: nobody connects any more.
  bool ending ABSL_GUARDED_BY(mutex) = false;
};

// One side of one gRPC call. The connection calls it; each method but Cancel
// only starts something whose end comes back to the connection.
class GrpcStream {
 public:
  virtual ~GrpcStream() = default;

  // One at a time; `message` must live until OnWriteDone.
  virtual void Write(const grpc::ByteBuffer* message) = 0;

  // Nothing will be written after this, and no write is under way. The peer is
  // told `status` if this side can tell one.
  virtual void End(const grpc::Status& status) = 0;

  // Breaks everything off. Not to be called after the end (OnStreamDone).
  virtual void Cancel() = 0;

  // Whether End completes the call without the peer's help.
  virtual bool ends_call() const = 0;
};

class GrpcConnection : public std::enable_shared_from_this<GrpcConnection> {
 public:
  // `name` is the peer's address, for people.
  GrpcConnection(std::shared_ptr<GrpcLinkCore> core, PeerId peer,
                 std::string name, size_t payload_bytes_max);
  virtual ~GrpcConnection() = default;

  PeerId peer() const { return peer_; }
  const std::shared_ptr<GrpcLinkCore>& core() const { return core_; }
  const std::string& name() const { return name_; }

  absl::Status Send(Frame frame);
  void Admit(size_t payload_bytes_max) {
    payload_bytes_max_ = payload_bytes_max;
  }
  void Close();
  // Ends at once, without a word to the sink.
  void Abort();
  // Ends at once; `reason` goes to the sink, and to the peer if possible.
  void Fail(const absl::Status& reason);
  // Fails unless the connection has come about.
  void FailUnconnected(const absl::Status& reason);

  // The peer does not take the end.
  void CutOff();
  // Whoever connects has something to say: fails unless a whole frame has come.
  void FailUnheard(absl::Duration waited);

  // What streams report. One call to each at a time; OnStarted comes before a
  // stream's end, or nobody would release it.
  void OnStarted(std::shared_ptr<GrpcStream> stream);
  // Returns to the state before OnStarted, unless the connection has failed, is
  // closed or was connected.
  bool OnAttemptFailed();
  // Nothing is written before.
  void OnConnected();
  void OnMessage(const grpc::ByteBuffer& message);
  void OnReadsOver();
  void OnWriteDone(bool ok);
  // Nothing is under way any more. Releases the stream and tells the sink.
  void OnStreamDone(const grpc::Status& status);

 private:
  void FailLocked(const absl::Status& reason)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Starts the next write, or the end, if it is time.
  void Advance() ABSL_LOCKS_EXCLUDED(mutex_);
  // No frame will be sent any more.
  bool Over() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return !failure_.ok() || peer_closed_ || broken_;
  }
  // The message to write now, or nullptr; ends the stream if it is time.
  const grpc::ByteBuffer* NextMessage() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool TimeToEnd() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status Deliver(Frame frame) ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status FinalReason(const grpc::Status& status) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const std::shared_ptr<GrpcLinkCore> core_;
  const PeerId peer_;
  const std::string name_;
  std::atomic<size_t> payload_bytes_max_;
  std::atomic<bool> heard_{false};
  FrameAssembler assembler_;  // Only OnMessage.
  grpc::ByteBuffer message_;  // Of the write under way.

  Mutex mutex_;
  CondVar idle_;
  std::shared_ptr<GrpcStream> stream_ ABSL_GUARDED_BY(mutex_);
  Outbox outbox_ ABSL_GUARDED_BY(mutex_);
  bool connected_ ABSL_GUARDED_BY(mutex_) = false;
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool delivering_ ABSL_GUARDED_BY(mutex_) = false;
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;       // By Close.
  bool marker_sent_ ABSL_GUARDED_BY(mutex_) = false;  // After Close.
  bool peer_closed_ ABSL_GUARDED_BY(mutex_) = false;  // Its marker came.
  bool broken_ ABSL_GUARDED_BY(mutex_) = false;  // A read or a write failed.
  bool silent_ ABSL_GUARDED_BY(mutex_) = false;  // By Abort.
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;   // End was called.
  bool done_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status failure_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace terse

#endif  // TERSE_COMMON_TRANSPORT_GRPC_CONNECTION_H_
