#include "server/server.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/status.h"
#include "common/checkpoint/members.h"
#include "common/config/job.h"
#include "common/observe/observation.h"
#include "common/wire/messages.h"
#include "spdlog/spdlog.h"

namespace terse {

Server::Server(ServerOptions options, Link& link, const Clock& clock)
    : options_(std::move(options)), link_(link), clock_(clock) {}

absl::Status Server::Start() {
  join_deadline_ = clock_.Now() + options_.join_timeout;
  if (coordinator()) {
    TERSE_CHECK(options_.job.has_value());
    TERSE_ASSIGN_OR_RETURN(Job job, JobToStart());
    return AdoptJob(std::move(job));
  }
  wire::Join join;
  join.set_role(wire::Join::SHARD);
  join.set_rank(options_.shard);
  join.set_token(options_.token);
  join.set_incarnation(options_.incarnation);
  join.set_address(link_.Address());
  coordinator_peer_ = std::make_unique<CoordinatorPeer>(
      link_, options_.coordinator_address, join);
  coordinator_peer_->Connect(options_.join_timeout, /*returns=*/false);
  peers_[coordinator_peer_->id()] = {wire::Join::SHARD, 0, ""};
  return absl::OkStatus();
}

absl::Status Server::AdoptJob(Job job) {
  job_ = std::move(job);
  job_yaml_ = PrintJob(*job_);
  TERSE_ASSIGN_OR_RETURN(Plan plan, MakePlan(*job_));
  TERSE_RETURN_IF_ERROR(CheckMode(*job_, plan));
  plan_ = std::make_unique<Plan>(std::move(plan));
  const uint32_t workers = job_->cluster().workers();
  workers_.resize(workers);
  members_.resize(workers);
  shards_.resize(ServerCount(*job_));
  shard_members_.resize(shards_.size());
  join_deadline_ =
      clock_.Now() + absl::Seconds(job_->cluster().join_timeout_seconds());
  shard_ = std::make_unique<Shard>(
      *job_, *plan_, options_.shard,
      ShardOutput{
          .send =
              [this](uint32_t worker, Frame frame) {
                if (workers_[worker] && members_[worker].receives) {
                  Send(*workers_[worker], std::move(frame));
                }
              },
          .reduce =
              [this](uint64_t version, const wire::BlockStatistics& part) {
                Reduce(version, part);
              },
          .observe =
              [this](uint64_t step, const wire::Observation& observation) {
                Observe(step, observation);
              },
          .mirror =
              job_->cluster().replicas() > 0
                  ? [this](uint32_t block) { replication_->OnBlock(block); }
                  : std::function<void(uint32_t)>(),
          .opened = [this](uint64_t version) { OnVersionOpened(version); }});
  if (job_->cluster().replicas() > 0) {
    replication_ = std::make_unique<Replication>(
        *job_, *plan_, options_.shard, options_.token, link_, clock_, *shard_,
        coordinator()
            ? Replication::StateSource{
                  .state = [this] { return MakeState(); },
                  .changes = [this] { return coordinator_->changes(); }}
            : Replication::StateSource());
  }
  if (coordinator()) {
    TERSE_RETURN_IF_ERROR(PrepareResume());
    coordinator_ = MakeCoordinator();
    TERSE_RETURN_IF_ERROR(PrepareCodecChooser());
  }
  PrepareCheckpoints();
  return absl::OkStatus();
}

void Server::Send(PeerId peer, Frame frame) {
  const absl::Status sent = link_.Send(peer, std::move(frame));
  // A lost peer is heard of through OnPeerLost.
  if (absl::IsResourceExhausted(sent) && !ended()) Abort(sent);
}

void Server::Broadcast(const Frame& frame) {
  for (const auto& [peer, unused] : peers_) {
    link_.Send(peer, frame).IgnoreError();
  }
}

void Server::Refuse(PeerId id, const absl::Status& reason) {
  spdlog::warn("refused a peer: {}", std::string(reason.message()));
  link_.Send(id, MakeAbort(reason)).IgnoreError();
  link_.Close(id);
  leaving_.insert(id);
  std::erase_if(early_joins_,
                [id](const auto& join) { return join.first == id; });
}

void Server::OnFrame(PeerId id, Frame frame) {
  // What was under way when its sender was refused.
  if (leaving_.contains(id)) return;
  if (replication_ && replication_->Owns(id)) {
    if (ended()) return;
    const std::string name = replication_->NameOf(id);
    OnReplicationEvent(name, frame.type == wire::ABORT
                                 ? StatusOfAbort(frame)
                                 : replication_->OnFrame(id, frame));
    return;
  }
  const auto peer = peers_.find(id);
  if (peer == peers_.end() && goes_on()) {
    if (!next_->Hold(id, std::move(frame))) {
      Refuse(id,
             absl::InvalidArgumentError("a peer must wait for its welcome"));
    }
    return;
  }
  if (peer == peers_.end()) {
    absl::Status joined = absl::PermissionDeniedError("a peer must join first");
    if (frame.type == wire::JOIN) {
      auto join = ParseMessage<wire::Join>(frame);
      joined = join.ok() ? OnJoin(id, *join) : join.status();
    }
    if (!joined.ok()) Refuse(id, joined);
    return;
  }
  if (ended()) return;
  const std::string name = RoleName(peer->second.role, peer->second.rank);
  if (!coordinator() && IsRejoin(frame)) {
    GoOn({});
    return;
  }
  if (frame.type == wire::ABORT) {
    Abort(Annotate(StatusOfAbort(frame), name));
    return;
  }
  const FrameType type = frame.type;
  const absl::Time begin = on_frame_ ? clock_.Now() : absl::InfinitePast();
  const absl::Status handled = Dispatch(id, frame);
  if (on_frame_) on_frame_(type, clock_.Now() - begin);
  if (!handled.ok()) Abort(Annotate(handled, name));
}

absl::Status Server::Dispatch(PeerId id, Frame& frame) {
  const Peer peer = peers_.at(id);
  if (coordinator_peer_ && id == coordinator_peer_->id()) {
    return OnCoordinatorFrame(frame);
  }
  if (peer.role == wire::Join::SHARD) return OnShardFrame(peer.rank, frame);
  return OnWorkerFrame(peer.rank, frame);
}

absl::Status Server::CheckBlock(uint32_t block, bool buffer) const {
  if (block >= plan_->blocks.size() ||
      plan_->blocks[block].shard != options_.shard ||
      plan_->IsBuffer(plan_->blocks[block].tensor) != buffer) {
    return absl::InvalidArgumentError(
        absl::StrCat("block ", block, " is not one of this shard's"));
  }
  return absl::OkStatus();
}

absl::Status Server::OnWorkerFrame(uint32_t worker, Frame& frame) {
  const absl::Time now = clock_.Now();
  switch (frame.type) {
    case wire::GRADIENT:
      TERSE_RETURN_IF_ERROR(CheckBlock(frame.block, /*buffer=*/false));
      return shard_->OnGradient(now, worker, frame.step, frame.block,
                                std::move(frame.payload));
    case wire::FACTOR:
      TERSE_RETURN_IF_ERROR(CheckBlock(frame.block, /*buffer=*/false));
      return shard_->OnFactor(now, worker, frame.step, frame.block,
                              std::move(frame.payload));
    case wire::BUFFERS:
      TERSE_RETURN_IF_ERROR(CheckBlock(frame.block, /*buffer=*/true));
      return shard_->OnBuffers(worker, frame.step, frame.block,
                               std::move(frame.payload));
    case wire::STATISTICS:
      TERSE_RETURN_IF_ERROR(CheckBlock(frame.block, /*buffer=*/true));
      return shard_->OnStatistics(worker, frame.step, frame.block,
                                  std::move(frame.payload));
    case wire::STEP: {
      TERSE_ASSIGN_OR_RETURN(const auto report,
                             ParseMessage<wire::StepReport>(frame));
      TERSE_RETURN_IF_ERROR(
          shard_->OnStepReport(now, worker, frame.step, report));
      if (coordinator()) {
        coordinator_->OnStepReport(now, worker, frame.step, report);
        if (codec_.chooser) codec_.chooser->SetCompute(report.times());
      }
      return absl::OkStatus();
    }
    case wire::KEPT:
    case wire::CUT:
      return OnCheckpointFrame(worker, frame);
    case wire::GOODBYE:
      return OnGoodbye(worker, frame);
    case wire::OBSERVATION:
      return OnObservation(worker, frame);
    case wire::PULL:
      return OnPull(worker, frame);
    default:
      break;
  }
  if (coordinator() && frame.type == wire::STOP) return OnStop(frame);
  if (frame.type == wire::MEASURED || frame.type == wire::PROBE) {
    return OnCodecFrame(worker, frame);
  }
  if (coordinator() && frame.type == wire::READY) {
    return OnReady(worker, frame);
  }
  if (coordinator() && frame.type == wire::EVALUATION) {
    TERSE_ASSIGN_OR_RETURN(const auto report,
                           ParseMessage<wire::EvaluationReport>(frame));
    TERSE_RETURN_IF_ERROR(
        coordinator_->OnEvaluation(now, worker, frame.step, report));
    CompleteIfDone();
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat("frame of type ", frame.type, " from a worker"));
}

absl::Status Server::OnReady(uint32_t worker, const Frame& frame) {
  if (!started_ && !members_[worker].welcomed) {
    return absl::InvalidArgumentError("ready before its welcome");
  }
  TERSE_ASSIGN_OR_RETURN(const auto ready, ParseMessage<wire::Ready>(frame));
  TERSE_ASSIGN_OR_RETURN(auto timeline, coordinator_->OnReady(worker, ready));
  if (codec_.chooser) codec_.chooser->OnReady(worker, ready);
  if (!timeline || started_) return absl::OkStatus();
  if (codec_.chooser && job_->compress().auto_().choices().empty()) {
    spdlog::info("auto: measuring");
    codec_.chooser->Begin(clock_.Now(), /*compute=*/true);
    return absl::OkStatus();
  }
  if (options_.on_event) {
    timeline->observe_every_steps = ObserveEverySteps(timeline->steps_total);
  }
  return StartJob(*timeline);
}

absl::Status Server::StartJob(const Timeline& timeline) {
  if (first_version_ > timeline.steps_total) {
    return WithExitCode(absl::InvalidArgumentError(absl::StrCat(
                            resume_folder_, " is at step ", first_version_,
                            " and the job ends at step ", timeline.steps_total,
                            ": raise train.epochs or train.steps")),
                        ExitCode::kBadJob);
  }
  started_ = true;
  version_seen_ = {first_version_, clock_.Now()};
  for (Member& member : members_) member.receives = true;
  if (coordinator() && replication_) {
    for (uint32_t s = 0; s < shards_.size(); ++s) {
      start_.add_shard_addresses(s == 0 ? link_.Address()
                                        : peers_.at(*shards_[s]).address);
    }
  }
  start_.set_steps_total(timeline.steps_total);
  start_.set_steps_per_epoch(timeline.steps_per_epoch);
  start_.set_observe_every_steps(timeline.observe_every_steps);
  spdlog::info("started: {} steps, {} an epoch, {} blocks here",
               timeline.steps_total, timeline.steps_per_epoch,
               shard_->store().blocks().size());
  if (coordinator()) {
    Broadcast(MakeMessage(wire::START, start_));
    coordinator_->OnStart(clock_.Now());
    if (job_checkpoints_) {
      job_checkpoints_->Start(
          clock_.Now(), timeline, first_version_,
          options_.resume ? options_.resume->manifest.updates : 0);
      AnnounceCheckpoint(timeline.steps_total);
    }
  }
  if (replication_) {
    replication_->SetTimeline(timeline);
    replication_->Connect(
        start_.shard_addresses(MirrorOf(*job_, options_.shard)));
  }
  if (!resume_folder_.empty()) return ResumeShard(timeline);
  shard_->Start(timeline);
  return absl::OkStatus();
}

absl::Status Server::OnShardFrame(uint32_t shard, const Frame& frame) {
  if (frame.type == wire::REDUCE) {
    TERSE_ASSIGN_OR_RETURN(const auto part,
                           ParseMessage<wire::BlockStatistics>(frame));
    TERSE_RETURN_IF_ERROR(
        coordinator_->CheckPart(shard, shard_->version(), frame.step, part));
    Reduce(frame.step, part);
    return absl::OkStatus();
  }
  if (frame.type == wire::OBSERVATION) {
    return OnObservation(std::nullopt, frame);
  }
  if (frame.type == wire::DIGESTS) {
    TERSE_ASSIGN_OR_RETURN(const auto digests,
                           ParseMessage<wire::Digests>(frame));
    TERSE_RETURN_IF_ERROR(coordinator_->OnDigests(shard, digests));
    CompleteIfDone();
    return absl::OkStatus();
  }
  if (frame.type == wire::CHECKPOINTED && job_checkpoints_) {
    TERSE_ASSIGN_OR_RETURN(const auto part,
                           ParseMessage<wire::Checkpointed>(frame));
    job_checkpoints_->OnPart(shard, frame.step, part,
                             coordinator_->AccuracyOf(frame.step));
    return absl::OkStatus();
  }
  if (frame.type == wire::STOP) return OnStop(frame);
  if (frame.type == wire::RESTORED) return OnRestored(shard, frame.step);
  return absl::InvalidArgumentError(
      absl::StrCat("frame of type ", frame.type, " from a shard"));
}

absl::Status Server::OnCoordinatorFrame(const Frame& frame) {
  switch (frame.type) {
    case wire::WELCOME: {
      TERSE_ASSIGN_OR_RETURN(const auto welcome,
                             ParseMessage<wire::Welcome>(frame));
      if (job_) return OnCoordinatorBack(welcome);
      TERSE_ASSIGN_OR_RETURN(
          Job job, ParseJob(welcome.job_yaml(), "the coordinator's job", {}));
      options_.checkpoint_directory = welcome.checkpoint_directory();
      resume_folder_ = welcome.resume_path();
      first_version_ = welcome.first_version();
      TERSE_RETURN_IF_ERROR(AdoptJob(std::move(job)));
      if (welcome.has_start()) TERSE_RETURN_IF_ERROR(FetchState(welcome));
      AdmitEarly();
      return absl::OkStatus();
    }
    case wire::START: {
      TERSE_ASSIGN_OR_RETURN(const auto start,
                             ParseMessage<wire::Start>(frame));
      if (!job_ || started_) break;
      TERSE_ASSIGN_OR_RETURN(const Timeline timeline, AdoptStart(start));
      return StartJob(timeline);
    }
    case wire::REDUCED: {
      TERSE_ASSIGN_OR_RETURN(const auto merged,
                             ParseMessage<wire::BlockStatistics>(frame));
      // What a process that was lost had asked for.
      if (!started_ && replication_) return absl::OkStatus();
      if (!started_) break;
      return shard_->OnReduced(frame.step, merged);
    }
    case wire::SHARD_BACK:
      return OnShardBack(frame);
    case wire::FINISH:
      Finish();
      return absl::OkStatus();
    default:
      break;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("frame of type ", frame.type, " from the coordinator"));
}

uint32_t Server::WorkersConnected() const {
  return static_cast<uint32_t>(
      std::count_if(workers_.begin(), workers_.end(),
                    [](const auto& peer) { return peer.has_value(); }));
}

bool Server::finished() const {
  return ended() && peers_.empty() && leaving_.empty() &&
         (!replication_ || replication_->ended());
}

uint64_t Server::Version() const {
  uint64_t version = 0;
  for (uint32_t w = 0; shard_ != nullptr && w < workers_.size(); ++w) {
    version = std::max(version, shard_->clock(w));
  }
  return version;
}

void Server::CompleteIfDone() {
  if (ended() || !started_ || !coordinator_->Complete()) return;
  if (job_checkpoints_ && !job_checkpoints_->final_done()) return;
  const nlohmann::json report = coordinator_->Finish(clock_.Now());
  if (options_.on_report) options_.on_report(report);
  Broadcast(MakeFrame(wire::FINISH, 0, 0, {}));
  Finish();
}

void Server::Finish() {
  spdlog::info("the job is done");
  result_ = absl::OkStatus();
  if (coordinator_peer_) {
    link_.Close(coordinator_peer_->id());
    peers_.erase(coordinator_peer_->id());
  }
  if (replication_) replication_->End(nullptr);
  // Of a shard that has come to the end alone.
  AdmitEarly();
}

void Server::Abort(const absl::Status& reason) {
  if (ended()) return;
  spdlog::error("the job ends: {}", std::string(reason.message()));
  result_ = reason;
  const Frame frame = MakeAbort(reason);
  // Nobody waits for another to close first: two shards that were stopped at
  // the same time would do so for ever.
  for (const auto& [peer, unused] : peers_) {
    link_.Send(peer, frame).IgnoreError();
    link_.Close(peer);
  }
  for (const auto& [peer, unused] : std::exchange(early_joins_, {})) {
    Refuse(peer, reason);
  }
  if (replication_) replication_->End(&frame);
  if (coordinator_) coordinator_->OnAbort(reason);
}

void Server::OnTime() {
  if (options_.on_time) options_.on_time();
  if (options_.background) options_.background->Poll();
  if (started_) CheckDeadlines();
  if (started_) CheckCodec();
  if (started_ && !ended()) CheckVacancies();
  if (ended() || started_ || clock_.Now() < join_deadline_) return;
  if (replication_ && replication_->fetching()) {
    Abort(WithExitCode(
        absl::DeadlineExceededError(absl::StrCat(
            RoleName(wire::Join::SHARD, MirrorOf(*job_, options_.shard)),
            " has not sent what it mirrors of this server within ",
            "cluster.rejoin_timeout_seconds = ",
            job_->cluster().rejoin_timeout_seconds())),
        ExitCode::kPeerNeverCame));
    return;
  }
  if (Undecided()) {
    begins_anew_ = true;
    AdmitEarly();
  }
  std::vector<std::string> missing;
  for (uint32_t s = 1; s < shards_.size(); ++s) {
    if (coordinator() && !shards_[s]) {
      missing.push_back(RoleName(wire::Join::SHARD, s));
    }
  }
  for (uint32_t w = 0; w < workers_.size(); ++w) {
    if (!workers_[w]) missing.push_back(RoleName(wire::Join::WORKER, w));
  }
  if (!job_) missing.push_back("the coordinator");
  Abort(absl::DeadlineExceededError(
      missing.empty()
          ? std::string("the workers have joined but are not ready in time")
          : absl::StrCat("did not join in time: ",
                         absl::StrJoin(missing, ", "))));
}

}  // namespace terse
