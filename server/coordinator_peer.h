// A shard's connection to the coordinator. With cluster.replicas it outlives
// the coordinator's process: what another one in its place has to know is told
// again.
#ifndef TERSE_SERVER_COORDINATOR_PEER_H_
#define TERSE_SERVER_COORDINATOR_PEER_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/transport/link.h"
#include "proto/wire.pb.h"

namespace terse {

class CoordinatorPeer {
 public:
  // `join` is what this shard joins with. `link` must outlive this.
  CoordinatorPeer(Link& link, std::string address, wire::Join join);

  // Connects, and joins; `returns`: to a job under way.
  void Connect(absl::Duration timeout, bool returns);
  PeerId id() const { return id_; }

  // Errors: as Link::Send, but that a lost coordinator is heard of through
  // OnPeerLost. While it is away nothing is sent but what is told again.
  absl::Status Tell(Frame frame);

  void OnLost(absl::Time now) {
    if (!away_since_) away_since_ = now;
  }
  // When it was lost; none: it is there.
  std::optional<absl::Time> away_since() const { return away_since_; }
  // It has welcomed this shard again.
  absl::Status OnBack();

 private:
  absl::Status Send(Frame frame);

  Link& link_;
  const std::string address_;
  wire::Join join_;
  PeerId id_{};
  std::optional<absl::Time> away_since_;
  std::vector<Frame> told_;  // That another process would have to know.
};

}  // namespace terse

#endif  // TERSE_SERVER_COORDINATOR_PEER_H_
