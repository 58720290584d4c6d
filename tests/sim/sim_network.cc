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
  SimLink(SimNetwork& network, std::string address, FrameSink& sink,
          std::function<void(const Frame&)> on_sent)
      : network_(network),
        address_(std::move(address)),
        sink_(sink),
        on_sent_(std::move(on_sent)) {}

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
    if (on_sent_) on_sent_(frame);
    counters_.frames_sent += 1;
    counters_.bytes_sent += frame.WireBytes();
    network_.DeliverFrame(found->second.out, std::move(frame));
    return absl::OkStatus();
  }

  void Admit(PeerId peer, size_t payload_bytes_max) override {
    const auto found = peers_.find(peer);
    if (found == peers_.end()) return;
    found->second.in->payload_bytes_max = payload_bytes_max;
  }

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
    pipe.link = this;
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
      auto waiting = std::exchange(out->waiting, {});
      *out = other.MakePipe(as_seen);
      out->waiting = std::move(waiting);
      out->payload_bytes_max = kUnadmittedPayloadBytesMax;
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

  // Ends a connection of which the reader says `reason`; what has been sent
  // the other way may still arrive, or not.
  void Fail(PeerId peer, const absl::Status& reason) {
    const auto found = peers_.find(peer);
    TERSE_CHECK(found != peers_.end());
    const Connection connection = found->second;
    peers_.erase(found);
    connection.in->closed = true;
    connection.in->sink = nullptr;
    connection.out->closed |= network_.Random(2) == 0;
    LosePeer(connection, absl::UnavailableError(
                             absl::StrCat("the connection broke off (",
                                          std::string(reason.message()), ")")));
    sink_.OnPeerLost(peer, reason);
  }

  void LosePeer(const Connection& connection, const absl::Status& reason) {
    network_.Deliver(connection.out, [reason](SimNetwork::Pipe& pipe) {
      if (pipe.sink == nullptr) return;
      pipe.closed = true;
      FrameSink* sink = std::exchange(pipe.sink, nullptr);
      pipe.link->peers_.erase(pipe.sender_as_seen);
      sink->OnPeerLost(pipe.sender_as_seen, reason);
    });
  }

  friend class SimNetwork;
  SimNetwork& network_;
  const std::string address_;
  FrameSink& sink_;
  const std::function<void(const Frame&)> on_sent_;
  LinkCounters counters_;
  std::map<PeerId, Connection> peers_;
  const std::shared_ptr<absl::Time> still_until_ =
      std::make_shared<absl::Time>(absl::InfinitePast());
  // Gone with the link, which may be lost while it still connects.
  const std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  uint64_t last_order_ = 0;  // The latest sent of the frames that have come.
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

std::unique_ptr<Link> SimNetwork::MakeLink(
    const std::string& address, FrameSink& sink,
    std::function<void(const Frame&)> on_sent) {
  auto link =
      std::make_unique<SimLink>(*this, address, sink, std::move(on_sent));
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
    if (pipe->sink == nullptr) {
      pipe->waiting.clear();
      return;
    }
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
  pipe->waiting.push_back({std::move(frame), ++frames_sent_, counted});
  Deliver(pipe, [this](Pipe& to) { TakeFrame(to); });
}

void SimNetwork::TakeFrame(Pipe& to) {
  auto next = to.waiting.begin();
  if (to.waiting.size() > 1 && Random(2) == 0) {
    next = std::min_element(to.waiting.begin(), to.waiting.end(),
                            [](const auto& a, const auto& b) {
                              return a.frame.urgency < b.frame.urgency;
                            });
  }
  const Pipe::Waiting taken = std::move(*next);
  overtakes_within_ += next != to.waiting.begin();
  to.waiting.erase(next);
  if (to.closed) return;
  uint64_t& last_order = to.link->last_order_;
  overtakes_across_ += taken.order < last_order && last_order > to.last_order;
  to.last_order = std::max(to.last_order, taken.order);
  last_order = std::max(last_order, taken.order);
  const bool damaged = options_.damaged_per_million > 0 &&
                       Random(1'000'000) < options_.damaged_per_million;
  if (damaged || to.reader ||
      taken.frame.payload.size() > to.payload_bytes_max) {
    ReadFrame(to, taken.frame, damaged);
    return;
  }
  ++to.counters->frames_received;
  to.counters->bytes_received += taken.frame.WireBytes();
  to.sink->OnFrame(to.sender_as_seen, taken.frame).IgnoreError();
}

void SimNetwork::ReadFrame(Pipe& to, const Frame& frame, bool damaged) {
  const FrameHeader header = SerializeHeader(frame);
  std::vector<std::byte> bytes(header.begin(), header.end());
  const auto payload = frame.payload.bytes();
  bytes.insert(bytes.end(), payload.begin(), payload.end());
  if (damaged) {
    // The header as often as the payload, which is longer.
    const bool in_header = payload.empty() || Random(2) == 0;
    const size_t first = in_header ? 0 : kFrameHeaderBytes;
    const size_t end = in_header ? kFrameHeaderBytes : bytes.size();
    size_t place = first + Random(end - first);
    for (uint64_t left = 1 + Random(4); left > 0 && place < end; --left) {
      bytes[place++] ^= static_cast<std::byte>(1 + Random(255));
    }
    ++damage_.frames;
    ++damage_.unread;
    ++to.damaged;
  }
  if (!to.reader) to.reader.emplace(to.payload_bytes_max);
  const absl::Status read = to.reader->Append(bytes, [this](const Frame&) {
    ++damage_.taken;
    return absl::InternalError("a damaged frame passes for a whole one");
  });
  if (read.ok()) return;
  damage_.unread -= to.damaged;
  damage_.found += to.damaged;
  to.link->Fail(to.sender_as_seen, read);
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
