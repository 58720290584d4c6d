// Workers that a job under way loses, and those that come to it; the rest of
// Server is in server.cc.
#include "common/checkpoint/members.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/wire/messages.h"
#include "server/server.h"
#include "spdlog/spdlog.h"

namespace terse {

bool Server::OutlivesLossNow() const {
  // What a job goes on from is sent once.
  const bool resumed = !resume_folder_.empty();
  return started_ && OutlivesWorkers(*job_) &&
         (!resumed || restored_ || shard_->version() > first_version_);
}

void Server::OnPeerLost(PeerId id, const absl::Status& reason) {
  if (leaving_.erase(id) > 0) return;
  if (replication_ && replication_->Owns(id)) {
    const std::string name = replication_->NameOf(id);
    OnReplicationEvent(name, replication_->OnPeerLost(id, reason));
    return;
  }
  const auto found = peers_.find(id);
  if (found == peers_.end()) {
    std::erase_if(early_joins_,
                  [id](const auto& join) { return join.first == id; });
    if (goes_on()) {
      std::erase_if(next_->frames,
                    [id](const auto& held) { return held.first == id; });
    }
    return;
  }
  const Peer peer = found->second;
  peers_.erase(found);
  if (peer.role == wire::Join::WORKER) {
    workers_[peer.rank].reset();
  } else if (coordinator()) {
    shards_[peer.rank].reset();
  }
  if (ended()) return;
  if (peer.role == wire::Join::WORKER && members_[peer.rank].said_goodbye)
    return;
  if (peer.role == wire::Join::WORKER && OutlivesLossNow()) {
    OnWorkerLost(peer.rank, reason);
    return;
  }
  if (peer.role == wire::Join::SHARD && coordinator() && replication_ &&
      OutlivesLossNow()) {
    OnShardLost(peer.rank, reason);
    return;
  }
  const bool of_coordinator =
      coordinator_peer_ && id == coordinator_peer_->id();
  const std::string why =
      reason.ok() ? "it closed the connection" : std::string(reason.message());
  if (of_coordinator && OutlivesCoordinatorNow()) {
    OnCoordinatorLost(why);
    return;
  }
  const std::string name =
      of_coordinator ? "the coordinator" : RoleName(peer.role, peer.rank);
  if (coordinator_) coordinator_->OnLost(peer.role, peer.rank, why);
  Abort(WithExitCode(
      absl::UnavailableError(absl::StrCat(name, " was lost: ", why)),
      ExitCode::kPeerNeverCame));
}

void Server::OnWorkerLost(uint32_t rank, const absl::Status& reason) {
  Member& member = members_[rank];
  member.receives = false;
  member.vacant_since = clock_.Now();
  member.why =
      reason.ok() ? "it closed the connection" : std::string(reason.message());
  spdlog::warn("worker {} was lost: {}", rank, member.why);
  if (coordinator()) {
    coordinator_->OnLost(wire::Join::WORKER, rank, member.why);
  }
  if (!ContinuesWithout(*job_)) return;
  absl::Status closed = shard_->Leave(clock_.Now(), rank);
  if (shard_checkpoints_) shard_checkpoints_->Leave(rank);
  if (coordinator()) {
    coordinator_->Leave(clock_.Now(), rank);
    CompleteIfDone();
  }
  if (!ended()) closed.Update(SendDigestsIfDone());
  if (!closed.ok()) Abort(closed);
}

absl::Status Server::OnGoodbye(uint32_t worker, const Frame& frame) {
  TERSE_ASSIGN_OR_RETURN(const auto goodbye,
                         ParseMessage<wire::Goodbye>(frame));
  members_[worker].said_goodbye = true;
  if (coordinator()) coordinator_->OnGoodbye(worker, goodbye);
  return SendDigestsIfDone();
}

absl::Status Server::SendDigestsIfDone() {
  bool any = false;
  for (uint32_t w = 0; w < members_.size(); ++w) {
    const bool gone = members_[w].vacant_since && ContinuesWithout(*job_);
    if (!members_[w].said_goodbye && !gone) return absl::OkStatus();
    any = any || members_[w].said_goodbye;
  }
  if (!any) return absl::OkStatus();
  wire::Digests digests;
  for (uint32_t block : shard_->store().blocks()) {
    wire::Digests::Record* record = digests.add_records();
    record->set_block(block);
    const Sha256Digest digest = shard_->store().Digest(block);
    record->set_sha256(digest.data(), digest.size());
  }
  if (!coordinator()) {
    TellCoordinator(MakeMessage(wire::DIGESTS, digests));
    return absl::OkStatus();
  }
  TERSE_RETURN_IF_ERROR(coordinator_->OnDigests(options_.shard, digests));
  CompleteIfDone();
  return absl::OkStatus();
}

absl::Status Server::ReadmitWorker(PeerId id, uint32_t rank,
                                   const wire::Join& join) {
  Member& member = members_[rank];
  if (!OutlivesLossNow()) {
    return WithExitCode(
        absl::UnavailableError("the job is under way and takes nobody in now"),
        ExitCode::kPeerNeverCame);
  }
  if (join.returns() && join.incarnation() != member.incarnation) {
    return WithExitCode(absl::UnavailableError(absl::StrCat(
                            "worker ", rank, " is another process by now")),
                        ExitCode::kPeerNeverCame);
  }
  if (workers_[rank]) {
    if (!join.returns()) {
      // One that died with its machine is found out later.
      return WithExitCode(
          absl::AlreadyExistsError(absl::StrCat(
              "worker ", rank,
              " has joined already; try again if it was lost, "
              "which takes up to cluster.peer_timeout_seconds to be seen")),
          ExitCode::kPeerNeverCame);
    }
    // It knows sooner than this server that its connection has gone.
    const PeerId old = *workers_[rank];
    peers_.erase(old);
    leaving_.insert(old);
    link_.Close(old);
  }
  if (!join.returns() && !TakesReplacements(*job_, *plan_)) {
    Abort(WithExitCode(
        absl::UnavailableError(absl::StrCat(
            "worker ", rank, " was lost (", member.why,
            ") with what it keeps from step to step, so nobody can take its "
            "place at this step")),
        ExitCode::kPeerNeverCame));
    return WithExitCode(
        absl::UnavailableError("the job begins anew from its checkpoint"),
        ExitCode::kPeerNeverCame);
  }
  spdlog::info("worker {} {}", rank,
               join.returns() ? "is back" : "has a replacement");
  workers_[rank] = id;
  peers_[id] = {wire::Join::WORKER, rank, ""};
  member.incarnation = join.incarnation();
  member.receives = false;
  member.vacant_since.reset();
  AdmitPayloads(id);
  wire::Welcome welcome;
  if (coordinator()) FillWelcome(welcome);
  welcome.set_rank(rank);
  *welcome.mutable_start() = start_;
  welcome.set_published_version(shard_->version());
  if (ContinuesWithout(*job_)) {
    shard_->Return(rank);
    if (shard_checkpoints_) shard_checkpoints_->Return(rank);
  }
  if (coordinator()) {
    coordinator_->OnReturn(rank, /*replaced=*/!join.returns());
    coordinator_->OnChange();
    if (replication_) replication_->OnState();
  }
  Send(id, MakeMessage(wire::WELCOME, welcome));
  return absl::OkStatus();
}

absl::Status Server::OnPull(uint32_t worker, const Frame& frame) {
  if (!started_ || members_[worker].receives) {
    return absl::InvalidArgumentError("a pull of what has been sent");
  }
  members_[worker].receives = true;
  // What is to be kept is told before the blocks of that version.
  for (const uint64_t version : announced_) {
    if (version < frame.step) continue;
    Send(*workers_[worker], MakeFrame(wire::CHECKPOINT, version, 0, Buffer()));
  }
  if (frame.block == 1) {
    TERSE_RETURN_IF_ERROR(shard_->SendStatistics(worker, frame.step));
  }
  return shard_->SendPublished(worker, frame.step);
}

void Server::CheckVacancies() {
  // Steps that go on without some want one worker at least.
  if (ContinuesWithout(*job_) && WorkersConnected() > 0) return;
  absl::Status vacant;
  const auto check = [&](const std::string& name, const Member& member) {
    if (!member.vacant_since ||
        clock_.Now() - *member.vacant_since < RejoinTimeout(*job_)) {
      return;
    }
    vacant.Update(WithExitCode(
        absl::UnavailableError(absl::StrCat(
            name, " was lost: ", member.why, "; nobody came in its place ",
            "within cluster.rejoin_timeout_seconds = ",
            job_->cluster().rejoin_timeout_seconds())),
        ExitCode::kPeerNeverCame));
  };
  for (uint32_t rank = 0; rank < members_.size(); ++rank) {
    check(RoleName(wire::Join::WORKER, rank), members_[rank]);
  }
  for (uint32_t s = 0; s < shard_members_.size(); ++s) {
    check(RoleName(wire::Join::SHARD, s), shard_members_[s]);
  }
  if (!vacant.ok()) Abort(vacant);
}

}  // namespace terse
