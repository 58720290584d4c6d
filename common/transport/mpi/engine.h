// The MPI of a process: one thread owns every call of MPI, and serves all links
// of the process.
#ifndef TERSE_COMMON_TRANSPORT_MPI_ENGINE_H_
#define TERSE_COMMON_TRANSPORT_MPI_ENGINE_H_

#include <deque>
#include <map>
#include <memory>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/mutex.h"
#include "common/transport/mpi/connection.h"
#include "common/transport/mpi/wire.h"

namespace terse {

class MpiEngine final : private MpiWireHandler {
 public:
  // The process's engine; the first call initialises MPI. It lives until the
  // process ends.
  static absl::StatusOr<MpiEngine*> Get();
  // Nullptr unless Get has made one.
  static MpiEngine* Existing();

  int rank() const { return rank_; }
  int size() const { return size_; }

  // Makes `endpoint` the one to connect to at `port`.
  // Errors: AlreadyExists.
  absl::Status Listen(uint32_t port, std::shared_ptr<MpiEndpoint> endpoint);
  // Ends all connections of `endpoint`, and its port; no call to its sink
  // after it returns.
  void Detach(const std::shared_ptr<MpiEndpoint>& endpoint);

  PeerId Connect(std::shared_ptr<MpiEndpoint> endpoint,
                 const std::string& address, absl::Duration timeout);
  absl::Status Send(const MpiEndpoint& endpoint, PeerId peer, Frame frame);
  void Admit(const MpiEndpoint& endpoint, PeerId peer, size_t bytes_max);
  void Close(const MpiEndpoint& endpoint, PeerId peer);

  // Sends what is queued; then, if `orderly`, waits for the other ranks and
  // finalises MPI. Gives up after `timeout`. No link may be left or made after.
  void Stop(bool orderly, absl::Duration timeout);

 private:
  using ConnectionPtr = std::shared_ptr<MpiConnection>;
  struct Loss {
    ConnectionPtr connection;
    absl::Status reason;
  };

  explicit MpiEngine() = default;
  absl::Status Start();

  // The progress thread.
  void Run();
  void Serve();
  // True if something has happened.
  bool SendMessages() ABSL_LOCKS_EXCLUDED(mutex_);
  bool TellLosses() ABSL_LOCKS_EXCLUDED(mutex_);
  void RunTimers() ABSL_LOCKS_EXCLUDED(mutex_);
  void Rest(absl::Duration time) ABSL_LOCKS_EXCLUDED(mutex_);
  bool Drained() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status Deliver(const ConnectionPtr& connection, Frame frame)
      ABSL_LOCKS_EXCLUDED(mutex_);

  void OnReceived(int rank, const Envelope& envelope,
                  std::span<const std::byte> copied,
                  std::span<const std::byte> data) override;
  void OnSent(uint64_t connection) override;
  void OnBroken(int rank, const absl::Status& why) override;

  // What a message of each kind does.
  void OnConnect(int rank, const Envelope& envelope)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void OnControl(const ConnectionPtr& connection, const Envelope& envelope,
                 std::string_view text) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void OnData(const ConnectionPtr& connection,
              std::span<const std::byte> copied,
              std::span<const std::byte> data) ABSL_LOCKS_EXCLUDED(mutex_);

  ConnectionPtr FindLocked(const MpiEndpoint& endpoint, PeerId peer)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Queues a message without data.
  void Say(int rank, EnvelopeKind kind, uint64_t target, uint64_t source,
           std::string_view text = {}) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Puts `connection` into the list of those that may send.
  void Schedule(const ConnectionPtr& connection)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void End(const ConnectionPtr& connection, const absl::Status& reason)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // End, and a word to the peer.
  void Fail(const ConnectionPtr& connection, const absl::Status& reason)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  std::unique_ptr<MpiWire> wire_;  // The progress thread's.
  int rank_ = 0;
  int size_ = 0;
  std::thread thread_;

  Mutex mutex_;
  CondVar wake_;     // The progress thread has something to do.
  CondVar changed_;  // A delivery or the thread has ended, or MPI has begun.
  bool signalled_ ABSL_GUARDED_BY(mutex_) = false;
  std::map<uint64_t, ConnectionPtr> connections_ ABSL_GUARDED_BY(mutex_);
  std::map<uint32_t, std::shared_ptr<MpiEndpoint>> listeners_
      ABSL_GUARDED_BY(mutex_);
  std::vector<ConnectionPtr> connecting_ ABSL_GUARDED_BY(mutex_);
  std::deque<ConnectionPtr> ready_ ABSL_GUARDED_BY(mutex_);
  std::deque<MpiMessage> control_ ABSL_GUARDED_BY(mutex_);
  std::deque<Loss> losses_ ABSL_GUARDED_BY(mutex_);
  ConnectionPtr delivering_ ABSL_GUARDED_BY(mutex_);
  absl::Status broken_ ABSL_GUARDED_BY(mutex_);  // Nothing works any more.
  absl::Time stop_by_ ABSL_GUARDED_BY(mutex_) = absl::InfiniteFuture();
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  bool orderly_ ABSL_GUARDED_BY(mutex_) = false;
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace terse

#endif  // TERSE_COMMON_TRANSPORT_MPI_ENGINE_H_
