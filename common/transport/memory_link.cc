#include "common/transport/memory_link.h"

#include <algorithm>
#include <map>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/base/mutex.h"
#include "common/base/status.h"
#include "common/transport/memory_connection.h"

namespace terse {

struct MemoryNetwork::State {
  // A connection to an address nobody has yet.
  struct Pending {
    std::shared_ptr<MemoryConnection> connection;
    std::string address;
    absl::Duration timeout;
    absl::Time deadline;
  };

  ~State() {
    {
      MutexLock lock(mutex);
      ending = true;
      changed.NotifyAll();
    }
    if (expirer.joinable()) expirer.join();
  }

  // Connects those that wait for `endpoint`. Returns the connections on whose
  // side 1 frames may be waiting.
  std::vector<std::shared_ptr<MemoryConnection>> Adopt(
      const std::shared_ptr<MemoryEndpoint>& endpoint)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);

  void AddPending(Pending added) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  // Body of `expirer`: ends the connections whose time is up.
  void Expire();
  std::vector<Pending> TakeExpired() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);

  Mutex mutex;
  CondVar changed;
  std::map<std::string, std::shared_ptr<MemoryEndpoint>> endpoints
      ABSL_GUARDED_BY(mutex);
  std::vector<Pending> pending ABSL_GUARDED_BY(mutex);
  bool ending ABSL_GUARDED_BY(mutex) = false;
  // Started with the first connection that has to wait.
  std::thread expirer;
};

std::vector<std::shared_ptr<MemoryConnection>> MemoryNetwork::State::Adopt(
    const std::shared_ptr<MemoryEndpoint>& endpoint) {
  std::vector<std::shared_ptr<MemoryConnection>> adopted;
  std::erase_if(pending, [&](const Pending& waiting) {
    if (waiting.address != endpoint->address) return false;
    // Who gave up while waiting is not heard of.
    if (!waiting.connection->gone(0)) {
      waiting.connection->Attach(1, endpoint);
      adopted.push_back(waiting.connection);
    }
    return true;
  });
  return adopted;
}

void MemoryNetwork::State::AddPending(Pending added) {
  pending.push_back(std::move(added));
  if (!expirer.joinable()) expirer = std::thread([this] { Expire(); });
  changed.NotifyAll();
}

std::vector<MemoryNetwork::State::Pending> MemoryNetwork::State::TakeExpired() {
  const absl::Time now = absl::Now();
  std::vector<Pending> expired;
  std::erase_if(pending, [&](const Pending& waiting) {
    if (waiting.deadline > now) return false;
    expired.push_back(waiting);
    return true;
  });
  return expired;
}

void MemoryNetwork::State::Expire() {
  while (true) {
    std::vector<Pending> expired;
    {
      MutexLock lock(mutex);
      if (ending) return;
      absl::Time next = absl::InfiniteFuture();
      for (const Pending& waiting : pending) {
        next = std::min(next, waiting.deadline);
      }
      if (next > absl::Now()) changed.WaitUntil(mutex, next);
      expired = TakeExpired();
    }
    for (const Pending& waiting : expired) {
      waiting.connection->Fail(
          0, absl::UnavailableError(
                 absl::StrCat(waiting.address, " could not be reached within ",
                              absl::FormatDuration(waiting.timeout))));
    }
  }
}

class MemoryLink final : public Link {
 public:
  MemoryLink(std::shared_ptr<MemoryNetwork::State> network,
             std::shared_ptr<MemoryEndpoint> endpoint)
      : network_(std::move(network)), endpoint_(std::move(endpoint)) {}

  ~MemoryLink() override {
    TERSE_CHECK(!DeliveryScope::Active());
    // Nobody can connect from here on.
    {
      MutexLock lock(network_->mutex);
      const auto own = network_->endpoints.find(endpoint_->address);
      if (own != network_->endpoints.end() && own->second == endpoint_) {
        network_->endpoints.erase(own);
      }
    }
    std::unordered_map<PeerId, MemoryEndpoint::Side> peers;
    {
      MutexLock lock(endpoint_->mutex);
      peers = endpoint_->peers;
    }
    for (const auto& [peer, side] : peers) {
      side.connection->Detach(side.index);
    }
    MutexLock lock(endpoint_->mutex);
    endpoint_->peers.clear();
  }

  PeerId Connect(const std::string& address, absl::Duration timeout) override {
    auto connection = std::make_shared<MemoryConnection>();
    const PeerId peer = connection->Attach(0, endpoint_);
    MutexLock lock(network_->mutex);
    const auto listener = network_->endpoints.find(address);
    if (listener != network_->endpoints.end()) {
      connection->Attach(1, listener->second);
    } else {
      network_->AddPending({.connection = std::move(connection),
                            .address = address,
                            .timeout = timeout,
                            .deadline = absl::Now() + timeout});
    }
    return peer;
  }

  absl::Status Send(PeerId peer, Frame frame) override {
    const auto side = endpoint_->Find(peer);
    if (!side) return PeerLostError();
    return side->connection->Send(side->index, std::move(frame));
  }

  void Admit(PeerId peer, size_t payload_bytes_max) override {
    if (const auto side = endpoint_->Find(peer)) {
      side->connection->Admit(side->index, payload_bytes_max);
    }
  }

  void Close(PeerId peer) override {
    if (const auto side = endpoint_->Find(peer)) {
      side->connection->Close(side->index);
    }
  }

  LinkCounters Counters() const override { return endpoint_->counters.Load(); }

  std::string Address() const override { return endpoint_->address; }

 private:
  const std::shared_ptr<MemoryNetwork::State> network_;
  const std::shared_ptr<MemoryEndpoint> endpoint_;
};

MemoryNetwork::MemoryNetwork() : state_(std::make_shared<State>()) {}
MemoryNetwork::~MemoryNetwork() = default;

absl::StatusOr<std::unique_ptr<Link>> MemoryNetwork::MakeLink(
    std::string address, FrameSink& sink) {
  auto endpoint = std::make_shared<MemoryEndpoint>(std::move(address), sink);
  auto link = std::make_unique<MemoryLink>(state_, endpoint);
  if (endpoint->address.empty()) return link;
  std::vector<std::shared_ptr<MemoryConnection>> adopted;
  {
    MutexLock lock(state_->mutex);
    if (!state_->endpoints.try_emplace(endpoint->address, endpoint).second) {
      return absl::AlreadyExistsError(absl::StrCat(
          "another link of this process has the address ", endpoint->address));
    }
    adopted = state_->Adopt(endpoint);
  }
  for (const auto& connection : adopted) connection->Deliver(1);
  return link;
}

}  // namespace terse
