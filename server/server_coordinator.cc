// How a job under way goes on when its coordinator is lost, with what that
// one's mirror has; the rest of Server is in server.cc.
#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/checkpoint/members.h"
#include "common/wire/event_loop.h"
#include "common/wire/messages.h"
#include "server/server.h"
#include "spdlog/spdlog.h"

namespace terse {

// Shards.

bool Server::OutlivesCoordinatorNow() const {
  if (coordinator() || !replication_ || !OutlivesLossNow()) return false;
  // Nobody would find there what it has to go on with.
  return options_.shard != MirrorOf(*job_, 0) || replication_->Keeps();
}

void Server::OnCoordinatorLost(const std::string& why) {
  const absl::Time now = clock_.Now();
  if (!coordinator_peer_->away_since()) {
    spdlog::warn("the coordinator was lost: {}; connecting anew", why);
  }
  coordinator_peer_->OnLost(now);
  const absl::Time until =
      *coordinator_peer_->away_since() + RejoinTimeout(*job_);
  if (now >= until) {
    Abort(WithExitCode(
        absl::UnavailableError(absl::StrCat(
            "the coordinator was lost: ", why, "; nobody came in its place ",
            "within cluster.rejoin_timeout_seconds = ",
            job_->cluster().rejoin_timeout_seconds())),
        ExitCode::kPeerNeverCame));
    return;
  }
  coordinator_peer_->Connect(until - now, /*returns=*/true);
  peers_[coordinator_peer_->id()] = {wire::Join::SHARD, 0, ""};
}

absl::Status Server::OnCoordinatorBack(const wire::Welcome& welcome) {
  if (!coordinator_peer_->away_since() || !welcome.has_start()) {
    return absl::InvalidArgumentError("welcomed twice");
  }
  spdlog::info("back at the coordinator");
  TERSE_RETURN_IF_ERROR(AdoptStart(welcome.start()).status());
  // What it has said meanwhile.
  replication_->Connect(
      start_.shard_addresses(MirrorOf(*job_, options_.shard)));
  return coordinator_peer_->OnBack();
}

// The coordinator.

std::unique_ptr<Coordinator> Server::MakeCoordinator() const {
  return std::make_unique<Coordinator>(
      *job_, *plan_, first_version_,
      options_.on_event ? options_.on_event : [](const nlohmann::json&) {});
}

bool Server::Undecided() const {
  return coordinator() && replication_ && !started_ && !begins_anew_;
}

void Server::Decide(const wire::Join& join) {
  if (replication_->fetching() || join.role() != wire::Join::SHARD ||
      join.mirrored() || join.rank() != MirrorOf(*job_, 0)) {
    return;
  }
  if (!join.returns()) {
    begins_anew_ = true;
    return;
  }
  spdlog::info("the job is under way: fetching what shard {} mirrors of it",
               join.rank());
  join_deadline_ = clock_.Now() + RejoinTimeout(*job_);
  replication_->Fetch(join.address());
}

absl::Status Server::ReturnShard(PeerId id, const wire::Join& join) {
  const uint32_t rank = join.rank();
  Member& member = shard_members_[rank];
  if (join.incarnation() != member.incarnation) {
    return WithExitCode(absl::UnavailableError(absl::StrCat(
                            "shard ", rank, " is another process by now")),
                        ExitCode::kPeerNeverCame);
  }
  if (shards_[rank]) {
    // It knows sooner than this server that its connection has gone.
    const PeerId old = *shards_[rank];
    peers_.erase(old);
    leaving_.insert(old);
    link_.Close(old);
  }
  spdlog::info("shard {} is back", rank);
  shards_[rank] = id;
  peers_[id] = {wire::Join::SHARD, rank, join.address()};
  member.vacant_since.reset();
  AdmitPayloads(id);
  coordinator_->OnJoined("server", rank);
  wire::Welcome welcome = ShardWelcome(rank);
  *welcome.mutable_start() = start_;
  Send(id, MakeMessage(wire::WELCOME, welcome));
  return absl::OkStatus();
}

wire::JobState Server::MakeState() const {
  wire::JobState state;
  state.set_first_version(first_version_);
  state.set_resume_path(resume_folder_);
  *state.mutable_start() = start_;
  for (const Member& member : members_) {
    state.add_worker_incarnations(member.incarnation);
  }
  for (const Member& member : shard_members_) {
    state.add_shard_incarnations(member.incarnation);
  }
  coordinator_->AddState(clock_.Now(), state);
  if (job_checkpoints_) job_checkpoints_->AddState(state);
  return state;
}

absl::StatusOr<Timeline> Server::RestoreState(uint64_t newest) {
  const wire::JobState& state = replication_->fetched_state();
  TERSE_ASSIGN_OR_RETURN(const Timeline timeline, AdoptStart(state.start()));
  if (state.worker_incarnations_size() != static_cast<int>(members_.size()) ||
      state.shard_incarnations_size() != static_cast<int>(shards_.size()) ||
      state.steps() < newest) {
    return absl::DataLossError(
        "what was mirrored of the coordinator does not fit together");
  }
  start_.set_shard_addresses(0, link_.Address());
  first_version_ = state.first_version();
  resume_folder_ = state.resume_path();
  const absl::Time now = clock_.Now();
  const auto vacate = [&](Member& member, uint64_t incarnation) {
    member = {.incarnation = incarnation, .welcomed = true};
    member.vacant_since = now;
    member.why = "the coordinator was lost, and it has not come back to it";
  };
  for (size_t w = 0; w < members_.size(); ++w) {
    vacate(members_[w], state.worker_incarnations(static_cast<int>(w)));
  }
  for (size_t s = 1; s < shards_.size(); ++s) {
    vacate(shard_members_[s], state.shard_incarnations(static_cast<int>(s)));
  }
  coordinator_ = MakeCoordinator();
  TERSE_RETURN_IF_ERROR(coordinator_->Restore(now, timeline, state));
  if (job_checkpoints_) {
    job_checkpoints_->Restore(now, timeline, state, newest);
    announced_ = job_checkpoints_->under_way();
    announced_.insert(timeline.steps_total);
  }
  replication_->SetTimeline(timeline);
  return timeline;
}

}  // namespace terse
