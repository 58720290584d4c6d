// A server's part in `cluster.replicas`: sends its shard's blocks to their
// mirror, keeps those of the shard that is mirrored here, and as a process that
// takes a lost one's place, fetches what is kept of it. The coordinator's are
// accompanied by what it knows of the job.
#ifndef TERSE_SERVER_REPLICATION_H_
#define TERSE_SERVER_REPLICATION_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "absl/status/status.h"
#include "common/base/clock.h"
#include "common/plan/plan.h"
#include "common/plan/timeline.h"
#include "common/transport/link.h"
#include "proto/job.pb.h"
#include "proto/wire.pb.h"
#include "server/mirror.h"
#include "server/shard.h"

namespace terse {

class Replication {
 public:
  // What the coordinator knows, and how often that has changed.
  struct StateSource {
    std::function<wire::JobState()> state;
    std::function<uint64_t()> changes;
  };

  // Of the shard `index`; `source` of shard 0 alone. All references must
  // outlive this.
  Replication(const Job& job, const Plan& plan, uint32_t index,
              std::string token, Link& link, const Clock& clock, Shard& shard,
              StateSource source);

  // Connects to the mirror of this shard, if it has one, and has all blocks
  // sent there; again, if it has moved to another address.
  void Connect(const std::string& address);
  // In place of Connect: fetches from there what the lost process had.
  void Fetch(const std::string& address);

  // A shard joins to be mirrored here.
  // Errors: InvalidArgument (another shard is), Unavailable (exit code 69; it
  // wants back what is not there).
  absl::Status Admit(PeerId id, const wire::Join& join);

  // Of the job, for the rates of updates that are made again.
  void SetTimeline(const Timeline& timeline) { timeline_ = timeline; }

  // The shard's block has a new version.
  void OnBlock(uint32_t block);
  // So has what the coordinator knows, which goes in front of blocks anyway.
  void OnState() {
    if (ready_) SendState();
  }

  // Whether another process could take the place of the shard that is mirrored
  // here.
  bool Keeps() const {
    return kept_ != nullptr && kept_->whole() &&
           (!mirrors_coordinator() || kept_state_);
  }

  // Of connections that the above are about; see FrameSink.
  bool Owns(PeerId id) const {
    return id == mirror_ || id == mirrored_ || leaving_.contains(id);
  }
  // Errors: the peer is broken.
  absl::Status OnFrame(PeerId id, Frame& frame);
  // Errors: Unavailable (exit code 69; the job cannot go on).
  absl::Status OnPeerLost(PeerId id, const absl::Status& reason);
  // "shard 2", for people.
  std::string NameOf(PeerId id) const;

  // Whether what was fetched has not been taken yet.
  bool fetching() const { return fetched_ != nullptr; }
  bool fetched() const {
    return fetching() && fetched_->whole() && (index_ != 0 || fetched_state_);
  }
  // Requires: fetched().
  std::unique_ptr<Mirror> TakeFetched() { return std::move(fetched_); }
  // Requires: fetched(), in shard 0.
  const wire::JobState& fetched_state() const { return *fetched_state_; }

  // The job has ended: tells `last` to all, if there is anything to tell. Those
  // that are mirrored here leave by themselves if all went well.
  void End(const Frame* last);
  bool ended() const { return !mirror_ && !mirrored_ && leaving_.empty(); }

 private:
  bool mirrors_coordinator() const { return MirrorOf(job_, 0) == index_; }
  void Dial(const std::string& address);
  void Drop(std::optional<PeerId>& peer);
  absl::Status CheckSameJob(const Frame& frame) const;
  absl::Status OnMirrorFrame(Frame& frame);
  absl::Status OnMirroredFrame(Frame& frame);
  void SendToMirror();
  void SendState();  // If it is another than the last.
  void SendBack();

  const Job& job_;
  const Plan& plan_;
  const uint32_t index_;
  const std::string token_;
  Link& link_;
  const Clock& clock_;
  Shard& shard_;
  const StateSource source_;
  Timeline timeline_;

  std::string address_;           // Of the mirror.
  std::optional<PeerId> mirror_;  // Where this shard is mirrored.
  bool ready_ = false;            // It takes blocks.
  std::optional<absl::Time> away_since_;
  MirrorQueue queue_;
  std::map<uint32_t, uint64_t> sent_;   // By block: the last version.
  std::optional<uint64_t> state_sent_;  // After how many changes.
  std::unique_ptr<Mirror> fetched_;
  std::optional<wire::JobState> fetched_state_;

  std::optional<PeerId> mirrored_;  // The shard that is mirrored here.
  std::unique_ptr<Mirror> kept_;    // Null before there is one.
  std::optional<wire::JobState> kept_state_;  // Of shard 0.
  MirrorQueue back_;

  std::set<PeerId> leaving_;
};

}  // namespace terse

#endif  // TERSE_SERVER_REPLICATION_H_
