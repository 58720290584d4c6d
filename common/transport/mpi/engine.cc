#include "common/transport/mpi/engine.h"

#include <sys/prctl.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/base/limits.h"
#include "common/base/status.h"
#include "common/base/string_view.h"

namespace terse {
namespace {

// Messages of one connection under way: enough that the next is there when one
// has arrived, few enough that eight chunks are all a slow peer has to hold.
constexpr int kWindowMax = 8;

// MPI has to be asked whether something has come. Right after traffic that is
// done without a pause, then with pauses that grow: workers need the cores.
constexpr int kBusyPolls = 20;
constexpr int kBusyPollsUnderWay = 200;
// Of Open MPI every eighth call alone looks at sockets; a poll makes two.
constexpr int kPollsBetweenRests = 8;
constexpr absl::Duration kRestMin = absl::Microseconds(5);
constexpr absl::Duration kRestMax = absl::Microseconds(200);

// Of a reason that is told to the peer.
constexpr size_t kReasonBytesMax = 4096;

Mutex engine_mutex;
MpiEngine* engine ABSL_GUARDED_BY(engine_mutex) = nullptr;

}  // namespace

absl::StatusOr<MpiEngine*> MpiEngine::Get() {
  MutexLock lock(engine_mutex);
  if (engine != nullptr) return engine;
  auto made = std::unique_ptr<MpiEngine>(new MpiEngine());
  TERSE_RETURN_IF_ERROR(made->Start());
  // For good: MPI cannot be initialised twice.
  engine = made.release();
  return engine;
}

MpiEngine* MpiEngine::Existing() {
  MutexLock lock(engine_mutex);
  return engine;
}

absl::Status MpiEngine::Start() {
  std::optional<absl::Status> initialised;
  thread_ = std::thread([&] {
    // MPI's main thread is the one that initialises it.
    auto wire = MpiWire::Init();
    const bool ok = wire.ok();
    if (ok) {
      wire_ = *std::move(wire);
      rank_ = wire_->rank();
      size_ = wire_->size();
    }
    {
      MutexLock lock(mutex_);
      initialised = wire.status();
      changed_.NotifyAll();
    }
    if (ok) Run();
  });
  {
    MutexLock lock(mutex_);
    while (!initialised) changed_.Wait(mutex_);
  }
  if (!initialised->ok()) thread_.join();
  return *initialised;
}

absl::Status MpiEngine::Listen(uint32_t port,
                               std::shared_ptr<MpiEndpoint> endpoint) {
  MutexLock lock(mutex_);
  if (!listeners_.try_emplace(port, std::move(endpoint)).second) {
    return absl::AlreadyExistsError(
        absl::StrCat("another link of this process listens at ",
                     FormatMpiAddress({.rank = rank_, .port = port})));
  }
  return absl::OkStatus();
}

void MpiEngine::Detach(const std::shared_ptr<MpiEndpoint>& endpoint) {
  MutexLock lock(mutex_);
  std::erase_if(listeners_,
                [&](const auto& entry) { return entry.second == endpoint; });
  for (const auto& [id, connection] : connections_) {
    if (connection->endpoint != endpoint) continue;
    connection->silent = true;
    Fail(connection, absl::CancelledError("it has gone"));
  }
  std::erase_if(connections_, [&](const auto& entry) {
    return entry.second->endpoint == endpoint;
  });
  while (delivering_ != nullptr && delivering_->endpoint == endpoint) {
    changed_.Wait(mutex_);
  }
}

PeerId MpiEngine::Connect(std::shared_ptr<MpiEndpoint> endpoint,
                          const std::string& address, absl::Duration timeout) {
  const PeerId peer = NextPeerId();
  const absl::StatusOr<MpiAddress> target = ParseMpiAddress(address);
  auto connection = std::make_shared<MpiConnection>(
      std::move(endpoint), peer, address, target.ok() ? target->rank : -1,
      kFramePayloadBytesMax);
  MutexLock lock(mutex_);
  connections_[connection->id()] = connection;
  if (!broken_.ok()) {
    End(connection, broken_);
  } else if (!target.ok()) {
    End(connection, absl::UnavailableError(target.status().message()));
  } else if (target->rank >= size_) {
    End(connection,
        absl::UnavailableError(absl::StrCat(
            address, ": there are only ", size_,
            " MPI processes; was this one started by mpirun or srun?")));
  } else {
    connection->port = target->port;
    connection->timeout = timeout;
    connection->deadline = absl::Now() + timeout;
    connecting_.push_back(connection);
    Say(connection->rank, EnvelopeKind::kConnect, connection->port,
        connection->id());
  }
  return peer;
}

absl::Status MpiEngine::Send(const MpiEndpoint& endpoint, PeerId peer,
                             Frame frame) {
  MutexLock lock(mutex_);
  const ConnectionPtr connection = FindLocked(endpoint, peer);
  if (connection == nullptr || connection->closed || connection->ending) {
    return PeerLostError();
  }
  const size_t bytes = frame.WireBytes();
  const size_t queued = connection->outbox.bytes();
  if (bytes > kOutboxBytesMax - std::min(kOutboxBytesMax, queued)) {
    return OutboxFullError(queued, bytes);
  }
  connection->outbox.Push(std::move(frame));
  Schedule(connection);
  return absl::OkStatus();
}

void MpiEngine::Admit(const MpiEndpoint& endpoint, PeerId peer,
                      size_t bytes_max) {
  MutexLock lock(mutex_);
  if (const ConnectionPtr connection = FindLocked(endpoint, peer)) {
    connection->payload_bytes_max = bytes_max;
  }
}

void MpiEngine::Close(const MpiEndpoint& endpoint, PeerId peer) {
  MutexLock lock(mutex_);
  const ConnectionPtr connection = FindLocked(endpoint, peer);
  if (connection == nullptr) return;
  connection->closed = true;
  if (connection->refused()) {
    End(connection, NotThereError(*connection));
    return;
  }
  Schedule(connection);
  // Two sinks that close each other's peers must not wait for each other.
  while (delivering_ == connection && !DeliveryScope::Active()) {
    changed_.Wait(mutex_);
  }
}

void MpiEngine::Stop(bool orderly, absl::Duration timeout) {
  {
    MutexLock lock(mutex_);
    TERSE_CHECK(connections_.empty() && listeners_.empty());
    stopping_ = true;
    orderly_ = orderly;
    stop_by_ = absl::Now() + timeout;
    signalled_ = true;
    wake_.NotifyAll();
    // Ranks that never come keep MPI_Finalize for ever.
    while (!stopped_ && changed_.WaitUntil(mutex_, stop_by_)) {
    }
    if (!stopped_) {
      thread_.detach();
      return;
    }
  }
  thread_.join();
}

MpiEngine::ConnectionPtr MpiEngine::FindLocked(const MpiEndpoint& endpoint,
                                               PeerId peer) {
  const auto found = connections_.find(static_cast<uint64_t>(peer));
  // One link cannot speak for another.
  if (found == connections_.end() ||
      found->second->endpoint.get() != &endpoint) {
    return nullptr;
  }
  return found->second;
}

void MpiEngine::Say(int rank, EnvelopeKind kind, uint64_t target,
                    uint64_t source, std::string_view text) {
  MpiMessage message{.rank = rank};
  AppendEnvelope({.kind = kind, .target = target, .source = source},
                 message.head);
  const auto bytes = std::as_bytes(std::span(text.substr(0, kReasonBytesMax)));
  message.head.insert(message.head.end(), bytes.begin(), bytes.end());
  control_.push_back(std::move(message));
  signalled_ = true;
  wake_.NotifyAll();
}

void MpiEngine::Schedule(const ConnectionPtr& connection) {
  if (connection->waiting || !connection->CanSend(kWindowMax)) return;
  connection->waiting = true;
  ready_.push_back(connection);
  if (!std::exchange(signalled_, true)) wake_.NotifyAll();
}

void MpiEngine::End(const ConnectionPtr& connection,
                    const absl::Status& reason) {
  if (std::exchange(connection->ending, true)) return;
  connection->outbox.Clear();
  std::erase(connecting_, connection);
  losses_.push_back({connection, reason});
  signalled_ = true;
  wake_.NotifyAll();
}

void MpiEngine::Fail(const ConnectionPtr& connection,
                     const absl::Status& reason) {
  if (!connection->ending && connection->open()) {
    Say(connection->rank, EnvelopeKind::kFail, connection->remote_id,
        connection->id(), ToStd(reason.message()));
  }
  End(connection, reason);
}

void MpiEngine::Run() {
  // Pauses are as short as asked for, not 50 us longer.
  prctl(PR_SET_TIMERSLACK, 1000);
  int quiet = 0;
  absl::Duration rest = kRestMin;
  while (true) {
    RunTimers();
    bool happened = SendMessages();
    happened |= wire_->Poll(*this);
    happened |= TellLosses();
    if (happened) {
      quiet = 0;
      rest = kRestMin;
      continue;
    }
    bool drained;
    bool orderly;
    {
      MutexLock lock(mutex_);
      if (stopping_ && absl::Now() >= stop_by_) break;
      drained = stopping_ && Drained();
      orderly = orderly_ && broken_.ok();
    }
    if (drained && (!orderly || wire_->AllLeave())) break;
    const int busy_polls = wire_->idle() ? kBusyPolls : kBusyPollsUnderWay;
    if (++quiet <= busy_polls) {
      std::this_thread::yield();
      continue;
    }
    Rest(rest);
    rest = std::min(2 * rest, kRestMax);
    quiet = busy_polls - kPollsBetweenRests;
  }
  bool orderly;
  {
    MutexLock lock(mutex_);
    orderly = orderly_ && broken_.ok();
  }
  if (orderly) wire_->Finalize();
  MutexLock lock(mutex_);
  stopped_ = true;
  changed_.NotifyAll();
}

bool MpiEngine::Drained() {
  return control_.empty() && ready_.empty() && losses_.empty() && wire_->idle();
}

void MpiEngine::Rest(absl::Duration time) {
  MutexLock lock(mutex_);
  if (!signalled_) wake_.WaitUntil(mutex_, absl::Now() + time);
  signalled_ = false;
}

void MpiEngine::RunTimers() {
  MutexLock lock(mutex_);
  if (connecting_.empty()) return;
  const absl::Time now = absl::Now();
  // A copy, because those that end leave the list.
  for (const ConnectionPtr& connection : std::vector(connecting_)) {
    if (now >= connection->deadline) {
      End(connection,
          absl::UnavailableError(absl::StrCat(
              connection->name, " could not be reached within ",
              absl::FormatDuration(connection->timeout),
              ": that MPI process does not listen; look at its log")));
    } else if (now >= connection->retry_at) {
      connection->retry_at = absl::InfiniteFuture();
      Say(connection->rank, EnvelopeKind::kConnect, connection->port,
          connection->id());
    }
  }
}

bool MpiEngine::SendMessages() {
  std::deque<MpiMessage> messages;
  {
    MutexLock lock(mutex_);
    // One of each connection in turn.
    for (const ConnectionPtr& connection : std::exchange(ready_, {})) {
      connection->waiting = false;
      auto outgoing = connection->NextMessage(kWindowMax);
      if (!outgoing) continue;
      messages.push_back({.rank = connection->rank,
                          .head = std::move(outgoing->head),
                          .payload = std::move(outgoing->taken.payload),
                          .data = outgoing->taken.data,
                          .connection = connection->id()});
      Schedule(connection);
    }
    for (MpiMessage& message : control_) {
      messages.push_back(std::move(message));
    }
    control_.clear();
  }
  for (MpiMessage& message : messages) wire_->Send(std::move(message));
  return !messages.empty();
}

bool MpiEngine::TellLosses() {
  bool happened = false;
  while (true) {
    Loss loss;
    {
      MutexLock lock(mutex_);
      if (losses_.empty()) return happened;
      loss = std::move(losses_.front());
      losses_.pop_front();
      if (loss.connection->silent) continue;
      delivering_ = loss.connection;
    }
    happened = true;
    {
      DeliveryScope scope;
      loss.connection->endpoint->sink.OnPeerLost(loss.connection->peer,
                                                 loss.reason);
    }
    MutexLock lock(mutex_);
    connections_.erase(loss.connection->id());
    delivering_ = nullptr;
    changed_.NotifyAll();
  }
}

}  // namespace terse
