// Shards that are lost and come back with what their mirrors keep; the rest of
// Server is in server.cc.
#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/checkpoint/members.h"
#include "common/wire/messages.h"
#include "server/server.h"
#include "spdlog/spdlog.h"

namespace terse {

void Server::OnReplicationEvent(const std::string& peer, absl::Status status) {
  if (ended()) return;
  if (status.ok() && replication_->fetched()) status = Restore();
  if (!status.ok()) Abort(Annotate(status, peer));
}

// What the coordinator says of a job under way.
absl::Status Server::FetchState(const wire::Welcome& welcome) {
  if (!replication_ ||
      welcome.incarnations_size() != static_cast<int>(members_.size())) {
    return absl::InvalidArgumentError("the job is under way without this one");
  }
  TERSE_ASSIGN_OR_RETURN(const Timeline timeline, AdoptStart(welcome.start()));
  replication_->SetTimeline(timeline);
  for (size_t w = 0; w < members_.size(); ++w) {
    members_[w].incarnation = welcome.incarnations(static_cast<int>(w));
  }
  join_deadline_ = clock_.Now() + RejoinTimeout(*job_);
  replication_->Fetch(start_.shard_addresses(
      static_cast<int>(MirrorOf(*job_, options_.shard))));
  return absl::OkStatus();
}

absl::StatusOr<Timeline> Server::AdoptStart(const wire::Start& start) {
  if (replication_ &&
      start.shard_addresses_size() != static_cast<int>(shards_.size())) {
    return absl::InvalidArgumentError(
        absl::StrCat("the coordinator names ", start.shard_addresses_size(),
                     " of ", shards_.size(), " shards"));
  }
  start_ = start;
  return Timeline{
      .steps_total = start_.steps_total(),
      .steps_per_epoch = start_.steps_per_epoch(),
      .evaluate_every_steps =
          job_->train().evaluate_every_epochs() * start_.steps_per_epoch(),
      .observe_every_steps = start_.observe_every_steps()};
}

absl::Status Server::Restore() {
  const std::unique_ptr<Mirror> mirror = replication_->TakeFetched();
  const uint64_t newest = mirror->newest();
  TERSE_ASSIGN_OR_RETURN(
      const Timeline timeline,
      coordinator() ? RestoreState(newest) : AdoptStart(wire::Start(start_)));
  TERSE_RETURN_IF_ERROR(shard_->Restore(timeline, *mirror));
  started_ = true;
  version_seen_.second = clock_.Now();
  restored_ = true;
  spdlog::info("goes on at step {} with what was mirrored", shard_->version());
  if (shard_checkpoints_) shard_checkpoints_->BeginWith(newest);
  if (!coordinator()) {
    TellCoordinator(MakeFrame(wire::RESTORED, newest, 0, Buffer()));
  }
  AdmitEarly();
  return absl::OkStatus();
}

void Server::OnShardLost(uint32_t rank, const absl::Status& reason) {
  Member& member = shard_members_[rank];
  member.vacant_since = clock_.Now();
  member.why =
      reason.ok() ? "it closed the connection" : std::string(reason.message());
  spdlog::warn(
      "shard {} was lost: {}; waiting for another process to go on "
      "with what its mirror has",
      rank, member.why);
  coordinator_->OnLost(wire::Join::SHARD, rank, member.why);
}

absl::Status Server::ReadmitShard(PeerId id, const wire::Join& join) {
  const uint32_t rank = join.rank();
  if (!replication_ || !shard_members_[rank].vacant_since) {
    return WithExitCode(
        absl::UnavailableError("the job is under way and takes nobody in now"),
        ExitCode::kPeerNeverCame);
  }
  spdlog::info("shard {} has a replacement at {}", rank, join.address());
  shards_[rank] = id;
  peers_[id] = {wire::Join::SHARD, rank, join.address()};
  AdmitPayloads(id);
  // It has as long again to fetch its state.
  shard_members_[rank].vacant_since = clock_.Now();
  shard_members_[rank].incarnation = join.incarnation();
  start_.set_shard_addresses(static_cast<int>(rank), join.address());
  wire::Welcome welcome = ShardWelcome(rank);
  *welcome.mutable_start() = start_;
  for (const Member& member : members_) {
    welcome.add_incarnations(member.incarnation);
  }
  Send(id, MakeMessage(wire::WELCOME, welcome));
  return absl::OkStatus();
}

absl::Status Server::OnRestored(uint32_t shard, uint64_t version) {
  if (!shard_members_[shard].vacant_since) {
    return absl::InvalidArgumentError("restored without having been lost");
  }
  shard_members_[shard].vacant_since.reset();
  coordinator_->OnJoined("server", shard);
  if (job_checkpoints_) job_checkpoints_->GiveUp(shard, version);
  coordinator_->OnChange();
  replication_->OnState();
  const std::string& address = start_.shard_addresses(static_cast<int>(shard));
  if (shard == MirrorOf(*job_, 0)) replication_->Connect(address);
  wire::ShardBack back;
  back.set_shard(shard);
  back.set_address(address);
  const Frame frame = MakeMessage(wire::SHARD_BACK, back);
  for (const auto* peers : {&workers_, &shards_}) {
    for (const std::optional<PeerId>& peer : *peers) {
      if (peer && peer != shards_[shard]) Send(*peer, frame);
    }
  }
  return absl::OkStatus();
}

absl::Status Server::OnShardBack(const Frame& frame) {
  TERSE_ASSIGN_OR_RETURN(const auto back, ParseMessage<wire::ShardBack>(frame));
  if (!replication_ || back.shard() >= shards_.size() ||
      start_.shard_addresses().empty()) {
    return absl::InvalidArgumentError("a shard is back that was none");
  }
  start_.set_shard_addresses(static_cast<int>(back.shard()), back.address());
  if (back.shard() == MirrorOf(*job_, options_.shard)) {
    replication_->Connect(back.address());
  }
  return absl::OkStatus();
}

}  // namespace terse
