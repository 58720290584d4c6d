#include "server/coordinator_peer.h"

#include <utility>

#include "common/wire/messages.h"

namespace terse {
namespace {

// Of parts of reductions and of checkpoints the last versions', which shards
// are not all done with; and how this shard ends.
bool IsToldAgain(const Frame& frame) {
  return frame.type == wire::REDUCE || frame.type == wire::CHECKPOINTED ||
         frame.type == wire::DIGESTS || frame.type == wire::STOP;
}

}  // namespace

CoordinatorPeer::CoordinatorPeer(Link& link, std::string address,
                                 wire::Join join)
    : link_(link), address_(std::move(address)), join_(std::move(join)) {}

void CoordinatorPeer::Connect(absl::Duration timeout, bool returns) {
  id_ = link_.Connect(address_, timeout);
  join_.set_returns(returns);
  // A peer that is lost by now is told of by OnPeerLost.
  link_.Send(id_, MakeMessage(wire::JOIN, join_)).IgnoreError();
}

absl::Status CoordinatorPeer::Tell(Frame frame) {
  if (IsToldAgain(frame)) {
    const bool once = frame.type == wire::DIGESTS || frame.type == wire::STOP;
    std::erase_if(told_, [&](const Frame& told) {
      return told.type == frame.type && (once || told.step + 1 < frame.step);
    });
    told_.push_back(frame);
  }
  return away_since_ ? absl::OkStatus() : Send(std::move(frame));
}

absl::Status CoordinatorPeer::OnBack() {
  away_since_.reset();
  absl::Status sent;
  for (const Frame& frame : told_) sent.Update(Send(frame));
  return sent;
}

absl::Status CoordinatorPeer::Send(Frame frame) {
  const absl::Status sent = link_.Send(id_, std::move(frame));
  return absl::IsNotFound(sent) ? absl::OkStatus() : sent;
}

}  // namespace terse
