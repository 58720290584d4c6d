#include "tests/sim/sim_network.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/random.h"
#include "common/base/status.h"

namespace terse {

class SimLink final : public Link {
 public:
  SimLink(SimNetwork& network, std::string address, FrameSink& sink)
      : network_(network), address_(std::move(address)), sink_(sink) {}

  ~SimLink() override {
    network_.listeners_.erase(address_);
    for (auto& [peer, connection] : peers_) {
      connection.in->sink = nullptr;
      LosePeer(connection, absl::UnavailableError("the process ended"));
    }
  }

  PeerId Connect(const std::string& address, absl::Duration timeout) override {
    const PeerId peer{network_.next_peer_++};
    auto in = std::make_shared<SimNetwork::Pipe>();
    auto out = std::make_shared<SimNetwork::Pipe>();
    *in = MakePipe(peer);
    peers_[peer] = {in, out, address};
    TryConnect(peer, address, network_.clock().Now() + timeout);
    return peer;
  }

  absl::Status Send(PeerId peer, Frame frame) override {
    const auto found = peers_.find(peer);
    if (found == peers_.end()) {
      return absl::NotFoundError("the peer is not connected");
    }
    counters_.frames_sent += 1;
    counters_.bytes_sent += frame.WireBytes();
    network_.DeliverFrame(found->second.out, std::move(frame));
    return absl::OkStatus();
  }

  void Admit(PeerId, size_t) override {}

  void Close(PeerId peer) override {
    const auto found = peers_.find(peer);
    if (found == peers_.end()) return;
    found->second.in->closed = true;
    if (!found->second.in->connected) {
      network_.Schedule(absl::ZeroDuration(), [sink = &sink_, peer] {
        sink->OnPeerLost(peer, absl::UnavailableError("closed"));
      });
      peers_.erase(found);
      return;
    }
    LosePeer(found->second, absl::OkStatus());
    // The closing side hears of the end as well, once all is sent.
    FrameSink* sink = &sink_;
    network_.Deliver(found->second.in, [sink, peer](SimNetwork::Pipe& pipe) {
      if (pipe.sink != nullptr) sink->OnPeerLost(peer, absl::OkStatus());
      pipe.sink = nullptr;
    });
    peers_.erase(found);
  }

  LinkCounters Counters() const override { return counters_; }
  std::string Address() const override { return address_; }

 private:
  struct Connection {
    std::shared_ptr<SimNetwork::Pipe> in;
    std::shared_ptr<SimNetwork::Pipe> out;
    std::string address;  // That was connected to.
  };

  SimNetwork::Pipe MakePipe(PeerId peer) {
    SimNetwork::Pipe pipe;
    pipe.sink = &sink_;
    pipe.sender_as_seen = peer;
    pipe.counters = &counters_;
    return pipe;
  }

  void TryConnect(PeerId peer, const std::string& address,
                  absl::Time deadline) {
    const auto found = peers_.find(peer);
    if (found == peers_.end()) return;
    const auto listener = network_.listeners_.find(address);
    if (listener != network_.listeners_.end()) {
      SimLink& other = *listener->second;
      const PeerId as_seen{network_.next_peer_++};
      std::shared_ptr<SimNetwork::Pipe> out = found->second.out;
      auto pending = std::exchange(out->pending, {});
      *out = other.MakePipe(as_seen);
      out->connected = found->second.in->connected = true;
      out->slowness = found->second.in->slowness =
          1 + (network_.options_.slowness_max - 1) * 1e-6 *
                  static_cast<double>(network_.Random(1'000'001));
      other.peers_[as_seen] = {out, found->second.in, ""};
      for (auto* pipe : {out.get(), found->second.in.get()}) {
        pipe->still_until[0] = still_until_;
        pipe->still_until[1] = other.still_until_;
      }
      for (auto& arrival : pending) network_.Deliver(out, std::move(arrival));
      return;
    }
    if (network_.clock().Now() >= deadline) {
      const absl::Status reason =
          absl::UnavailableError(absl::StrCat("nobody listens at ", address));
      peers_.erase(found);
      sink_.OnPeerLost(peer, reason);
      return;
    }
    network_.Schedule(
        absl::Milliseconds(10),
        [this, alive = std::weak_ptr<bool>(alive_), peer, address, deadline] {
          if (alive.expired()) return;
          TryConnect(peer, address, deadline);
        });
  }

  void LosePeer(const Connection& connection, const absl::Status& reason) {
    network_.Deliver(connection.out, [reason](SimNetwork::Pipe& pipe) {
      if (pipe.sink == nullptr) return;
      pipe.closed = true;
      FrameSink* sink = std::exchange(pipe.sink, nullptr);
      sink->OnPeerLost(pipe.sender_as_seen, reason);
    });
  }

  friend class SimNetwork;
  SimNetwork& network_;
  const std::string address_;
  FrameSink& sink_;
  LinkCounters counters_;
  std::map<PeerId, Connection> peers_;
  const std::shared_ptr<absl::Time> still_until_ =
      std::make_shared<absl::Time>(absl::InfinitePast());
  // Gone with the link, which may be lost while it still connects.
  const std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

void SimNetwork::Cut(Link& link, const std::string& address) {
  SimLink& from = static_cast<SimLink&>(link);
  for (auto& [peer, connection] : from.peers_) {
    if (connection.address != address || !connection.in->connected) continue;
    const absl::Status reason = absl::UnavailableError("the wire was cut");
    // Frames on their way are not delivered any more.
    connection.in->closed = connection.out->closed = true;
    for (const auto& pipe : {connection.in, connection.out}) {
      from.LosePeer({nullptr, pipe, ""}, reason);
    }
  }
}

void SimNetwork::Stall(Link& link, absl::Duration duration) {
  *static_cast<SimLink&>(link).still_until_ = clock_.Now() + duration;
}

std::unique_ptr<Link> SimNetwork::MakeLink(const std::string& address,
                                           FrameSink& sink) {
  auto link = std::make_unique<SimLink>(*this, address, sink);
  if (!address.empty()) {
    TERSE_CHECK(listeners_.emplace(address, link.get()).second);
  }
  return link;
}

uint64_t SimNetwork::Random(uint64_t bound) {
  TERSE_CHECK(bound > 0);
  return DrawKey(Draw::kSimulate, {options_.seed, draws_++}) % bound;
}

void SimNetwork::At(absl::Time time, std::function<void()> action) {
  queue_.push({time, events_++, std::move(action)});
}

void SimNetwork::Schedule(absl::Duration delay, std::function<void()> action) {
  At(clock_.Now() + delay, std::move(action));
}

void SimNetwork::Deliver(const std::shared_ptr<Pipe>& pipe,
                         std::function<void(Pipe&)> arrival) {
  if (!pipe->connected) {
    pipe->pending.push_back(std::move(arrival));
    return;
  }
  const int64_t spread =
      absl::ToInt64Nanoseconds(options_.delay_max - options_.delay_min);
  const absl::Duration delay =
      options_.delay_min + absl::Nanoseconds(Random(spread + 1));
  const absl::Time drawn = clock_.Now() + delay * pipe->slowness;
  pipe->last_arrival = std::max(pipe->last_arrival, drawn);
  for (const auto& until : pipe->still_until) {
    if (until != nullptr && *until > clock_.Now()) {
      pipe->last_arrival = std::max(pipe->last_arrival, *until + delay);
    }
  }
  At(pipe->last_arrival, [this, pipe, arrival = std::move(arrival)] {
    if (pipe->sink == nullptr) return;
    ++frames_delivered_;
    arrival(*pipe);
  });
}

void SimNetwork::DeliverFrame(const std::shared_ptr<Pipe>& pipe, Frame frame) {
  const bool repeated = options_.may_repeat && options_.may_repeat(frame) &&
                        Random(1000) < options_.repeats_per_mille;
  if (repeated) {
    const int64_t spread = absl::ToInt64Nanoseconds(options_.repeat_behind);
    Schedule(absl::Nanoseconds(Random(spread + 1)), [this, pipe, frame] {
      if (pipe->sink != nullptr) DeliverFrame(pipe, frame);
    });
  }
  bytes_under_way_ += frame.WireBytes();
  bytes_under_way_max_ = std::max(bytes_under_way_max_, bytes_under_way_);
  // Counted out however it ends: with the last copy of the action.
  const std::shared_ptr<void> counted(
      nullptr,
      [this, bytes = frame.WireBytes()](void*) { bytes_under_way_ -= bytes; });
  Deliver(pipe, [frame = std::move(frame), counted](Pipe& to) {
    if (to.closed) return;
    ++to.counters->frames_received;
    to.counters->bytes_received += frame.WireBytes();
    to.sink->OnFrame(to.sender_as_seen, frame).IgnoreError();
  });
}

bool SimNetwork::Step() {
  if (queue_.empty()) return false;
  // The action may schedule, so it leaves the queue first.
  Event event = queue_.top();
  queue_.pop();
  clock_.Set(std::max(clock_.Now(), event.time));
  event.action();
  return true;
}

}  // namespace terse
