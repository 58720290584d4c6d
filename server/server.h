// A server process's state machine: admits peers, hands their frames to its
// shard and, in shard 0, to the coordinator, and ends the job. Driven by one
// thread, which feeds it what its link delivers.
#ifndef TERSE_SERVER_SERVER_H_
#define TERSE_SERVER_SERVER_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "common/base/clock.h"
#include "common/transport/link.h"
#include "nlohmann/json.hpp"
#include "server/codec_chooser.h"
#include "server/coordinator.h"
#include "server/coordinator_peer.h"
#include "server/job_checkpoints.h"
#include "server/members.h"
#include "server/replication.h"
#include "server/server_options.h"
#include "server/shard.h"
#include "server/shard_checkpoints.h"

namespace terse {

class Server {
 public:
  // `link` and `clock` must outlive the server.
  Server(ServerOptions options, Link& link, const Clock& clock);
  // What is being written reads the plan.
  ~Server() { options_.background.reset(); }

  // `on_frame` is called after every frame of a peer with its type and the time
  // it took, from the thread that drives the server. Before Start().
  using FrameMeter = std::function<void(uint32_t type, absl::Duration)>;
  void MeasureFrames(FrameMeter on_frame) { on_frame_ = std::move(on_frame); }

  // Starts joining. Errors: InvalidArgument (the job cannot be planned).
  absl::Status Start();

  // The sink's events, one at a time; see FrameSink.
  void OnFrame(PeerId peer, Frame frame);
  void OnPeerLost(PeerId peer, const absl::Status& reason);
  // Deadlines; call it at least every second.
  void OnTime();

  // Ends the job for everybody with this reason.
  void Abort(const absl::Status& reason);
  // Ends the job for everybody after a checkpoint, if it keeps any.
  void Stop(int signal);

  // Whether this process may end: the job has, and every peer has left.
  bool finished() const;
  bool ended() const { return result_.has_value(); }  // Well or not.
  // Requires: ended().
  const absl::Status& result() const { return *result_; }
  bool started() const { return started_; }

  // Whether the job has ended to go on at once, with another codec: all roles
  // join a server of the same link again.
  bool goes_on() const { return next_.has_value(); }
  // Requires: goes_on().
  NextServer TakeNext() { return *std::exchange(next_, std::nullopt); }
  // The job as it is now, choices included. Null before it is known.
  const Job* job() const { return job_ ? &*job_ : nullptr; }
  // How many workers are connected, and how far this shard is.
  uint32_t WorkersConnected() const;
  uint64_t Version() const;

 private:
  bool coordinator() const { return options_.shard == 0; }
  absl::Status Dispatch(PeerId id, Frame& frame);
  void Refuse(PeerId id, const absl::Status& reason);
  absl::Status AdoptJob(Job job);
  absl::Status OnJoin(PeerId id, const wire::Join& join);
  absl::Status AdmitWorker(PeerId id, const wire::Join& join);
  absl::Status AdmitShard(PeerId id, const wire::Join& join);
  absl::Status OnWorkerFrame(uint32_t worker, Frame& frame);
  absl::Status OnShardFrame(uint32_t shard, const Frame& frame);
  absl::Status OnCoordinatorFrame(const Frame& frame);
  absl::Status OnGoodbye(uint32_t worker, const Frame& frame);
  absl::Status CheckBlock(uint32_t block, bool buffer) const;
  void WelcomeWorkers();
  void FillWelcome(wire::Welcome& welcome) const;
  wire::Welcome ShardWelcome(uint32_t shard) const;
  void AdmitPayloads(PeerId id);
  // Workers that come and go; see members.cc.
  void OnWorkerLost(uint32_t rank, const absl::Status& reason);
  absl::Status ReadmitWorker(PeerId id, uint32_t rank, const wire::Join& join);
  absl::Status OnPull(uint32_t worker, const Frame& frame);
  void CheckVacancies();
  // Whether a worker may be lost now without the job.
  bool OutlivesLossNow() const;
  absl::Status SendDigestsIfDone();
  absl::Status OnReady(uint32_t worker, const Frame& frame);
  absl::Status StartJob(const Timeline& timeline);
  // Shards that come and go, with cluster.replicas; see server_replicas.cc.
  void OnReplicationEvent(const std::string& peer, absl::Status status);
  absl::Status FetchState(const wire::Welcome& welcome);
  absl::StatusOr<Timeline> AdoptStart(const wire::Start& start);
  absl::Status Restore();
  void AdmitEarly();
  void OnShardLost(uint32_t rank, const absl::Status& reason);
  absl::Status ReadmitShard(PeerId id, const wire::Join& join);
  absl::Status OnRestored(uint32_t shard, uint64_t version);
  absl::Status OnShardBack(const Frame& frame);
  // And the coordinator; see server_coordinator.cc. Of shards:
  bool OutlivesCoordinatorNow() const;
  void OnCoordinatorLost(const std::string& why);
  absl::Status OnCoordinatorBack(const wire::Welcome& welcome);
  // Of the coordinator: whether its mirror may join it with a job under way.
  bool Undecided() const;
  void Decide(const wire::Join& join);
  absl::Status ReturnShard(PeerId id, const wire::Join& join);
  wire::JobState MakeState() const;
  absl::StatusOr<Timeline> RestoreState(uint64_t newest);
  std::unique_ptr<Coordinator> MakeCoordinator() const;
  // Checkpoints; see server_checkpoints.cc.
  absl::Status PrepareResume();
  absl::Status ResumeShard(const Timeline& timeline);
  void PrepareCheckpoints();
  void AnnounceCheckpoint(uint64_t version);
  void OnVersionOpened(uint64_t version);
  void CheckDeadlines();
  absl::Status OnCheckpointFrame(uint32_t worker, Frame& frame);
  absl::Status OnStop(const Frame& frame);
  void OnPartWritten(uint64_t version, const wire::Checkpointed& part);
  void OnCheckpointDone(uint64_t version, const std::string& folder,
                        const absl::Status& status);
  // Of `compress.gradient: auto`; see server_codec.cc.
  absl::StatusOr<Job> JobToStart() const;
  absl::Status PrepareCodecChooser();
  absl::Status OnCodecFrame(uint32_t worker, const Frame& frame);
  void OnCodecChosen(size_t candidate);
  void CheckCodec();
  // Whether the job was given a choice for a step behind `version`.
  bool PlannedAfter(uint64_t version) const;
  // Whether `version` begins a change of codec.
  void DemandChange(uint64_t version);
  // The job with `codec_.next` from `version` on.
  Job JobFrom(uint64_t version) const;
  void GoOn(NextServer next);
  void Reduce(uint64_t version, const wire::BlockStatistics& part);
  void Observe(uint64_t step, const wire::Observation& observation);
  absl::Status OnObservation(std::optional<uint32_t> worker,
                             const Frame& frame);
  void Broadcast(const Frame& frame);
  void Send(PeerId peer, Frame frame);
  void TellCoordinator(Frame frame);
  void CompleteIfDone();
  void Finish();

  ServerOptions options_;
  FrameMeter on_frame_;
  Link& link_;
  const Clock& clock_;
  absl::Time join_deadline_;
  std::pair<uint64_t, absl::Time> version_seen_;  // And since when.
  std::optional<Job> job_;
  std::string job_yaml_;
  std::unique_ptr<Plan> plan_;
  std::unique_ptr<Shard> shard_;
  std::unique_ptr<Coordinator> coordinator_;
  std::string resume_folder_;  // Empty: the job goes on from nothing.
  uint64_t first_version_ = 0;
  std::unique_ptr<ShardCheckpoints> shard_checkpoints_;  // Null: none.
  std::unique_ptr<JobCheckpoints> job_checkpoints_;      // Coordinator only.
  int stop_signal_ = 0;
  absl::Time stop_deadline_;
  // In order, so that the simulator repeats what goes to all of them.
  std::map<PeerId, Peer> peers_;
  std::set<PeerId> leaving_;  // Refused; they are being told why.
  // Of those that came before it is known what they join.
  std::vector<std::pair<PeerId, wire::Join>> early_joins_;
  std::vector<std::optional<PeerId>> workers_;  // By rank.
  std::vector<std::optional<PeerId>> shards_;   // By index; coordinator only.
  std::unique_ptr<CoordinatorPeer> coordinator_peer_;  // Of shards.
  std::vector<Member> members_;                        // By rank.
  std::vector<Member> shard_members_;         // By index; coordinator only.
  std::unique_ptr<Replication> replication_;  // Null without replicas.
  bool restored_ = false;     // In the place of a process that was lost.
  bool begins_anew_ = false;  // See Undecided.
  bool started_ = false;
  wire::Start start_;
  std::set<uint64_t> announced_;  // Checkpoints that are not done.
  CodecChange codec_;             // Of the coordinator.
  std::optional<absl::Status> result_;
  std::optional<NextServer> next_;
};

}  // namespace terse

#endif  // TERSE_SERVER_SERVER_H_
