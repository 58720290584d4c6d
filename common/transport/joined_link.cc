#include "common/transport/joined_link.h"

#include <thread>
#include <utility>

namespace terse {

JoinedLink::JoinedLink(std::unique_ptr<Link> outer, std::unique_ptr<Link> inner,
                       std::string beside, std::string inner_address)
    : outer_(std::move(outer)),
      inner_(std::move(inner)),
      beside_(std::move(beside)),
      inner_address_(std::move(inner_address)) {}

PeerId JoinedLink::Connect(const std::string& address, absl::Duration timeout) {
  return address == beside_ && !beside_.empty()
             ? inner_->Connect(inner_address_, timeout)
             : outer_->Connect(address, timeout);
}

JoinedLink::~JoinedLink() {
  ending_ = true;
  // Calls that are under way wait for no more than a sink's return.
  while (users_ > 0) std::this_thread::yield();
  inner_.reset();
  outer_.reset();
}

template <typename Use>
void JoinedLink::With(const Use& use) {
  ++users_;
  if (!ending_) use(*inner_, *outer_);
  --users_;
}

absl::Status JoinedLink::Send(PeerId peer, Frame frame) {
  absl::Status sent = absl::NotFoundError("the link ends");
  With([&](Link& inner, Link& outer) {
    // Ids are never used twice in a process: at most one of the two knows it.
    sent = inner.Send(peer, frame);
    if (absl::IsNotFound(sent)) sent = outer.Send(peer, std::move(frame));
  });
  return sent;
}

void JoinedLink::Admit(PeerId peer, size_t payload_bytes_max) {
  With([&](Link& inner, Link& outer) {
    inner.Admit(peer, payload_bytes_max);
    outer.Admit(peer, payload_bytes_max);
  });
}

void JoinedLink::Close(PeerId peer) {
  With([&](Link& inner, Link& outer) {
    inner.Close(peer);
    outer.Close(peer);
  });
}

LinkCounters JoinedLink::Counters() const {
  LinkCounters sum = inner_->Counters();
  const LinkCounters outer = outer_->Counters();
  sum.bytes_sent += outer.bytes_sent;
  sum.bytes_received += outer.bytes_received;
  sum.frames_sent += outer.frames_sent;
  sum.frames_received += outer.frames_received;
  return sum;
}

}  // namespace terse
