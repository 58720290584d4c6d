// How a worker comes to a job under way, back to a shard that it has lost, and
// along where others go ahead; the rest of WorkerSession is in session.cc.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/checkpoint/members.h"
#include "common/wire/event_loop.h"
#include "common/wire/messages.h"
#include "spdlog/spdlog.h"
#include "worker/session.h"

namespace terse {

namespace {

Frame MakePull(const AwaitedBlocks& awaited) {
  return MakeFrame(wire::PULL, awaited.weights.version(),
                   awaited.kept.complete() ? 0 : 1, Buffer());
}

}  // namespace

bool WorkerSession::Returns() const {
  return started_ && OutlivesWorkers(*job_);
}

void WorkerSession::Join(uint32_t shard, const std::string& address,
                         bool returns) {
  absl::Duration timeout =
      returns ? RejoinTimeout(*job_) : options_.join_timeout;
  // The coordinator, who knows who is away, speaks first.
  if (returns && job_->cluster().replicas() > 0) timeout += kStopTimeout;
  if (shard >= shards_.size()) shards_.resize(shard + 1);
  shards_[shard].peer = link_.Connect(address, timeout);
  shards_[shard].address = address;
  peers_[shards_[shard].peer] = shard;
  wire::Join join;
  join.set_role(wire::Join::WORKER);
  const std::optional<uint32_t> rank = rank_ ? rank_ : options_.rank;
  if (rank) join.set_rank(*rank);
  join.set_token(options_.token);
  join.set_incarnation(options_.incarnation);
  join.set_returns(returns);
  // A peer that is lost by now is told of by OnPeerLost.
  link_.Send(shards_[shard].peer, MakeMessage(wire::JOIN, join)).IgnoreError();
}

absl::Status WorkerSession::SendToShard(uint32_t shard, Frame frame) {
  ShardPeer& to = shards_[shard];
  if (frame.type == wire::GRADIENT) KeepForLate(frame);
  if (Returns()) to.sent.push_back(frame);
  if (to.away) return absl::OkStatus();
  const absl::Status sent = link_.Send(to.peer, std::move(frame));
  // A lost shard is heard of through OnPeerLost, behind what it said last: it
  // may have told why the job ends.
  return absl::IsNotFound(sent) ? absl::OkStatus() : sent;
}

void WorkerSession::ForgetSent(uint64_t version) {
  if (version <= sent_version_) return;
  sent_version_ = version;
  for (ShardPeer& shard : shards_) shard.sent.clear();
}

void WorkerSession::OnPeerLost(PeerId id, const absl::Status& reason) {
  const auto peer = peers_.find(id);
  if (peer == peers_.end()) return;
  const uint32_t shard = peer->second;
  peers_.erase(peer);
  if (ended()) return;
  const std::string why =
      reason.ok() ? "it closed the connection" : std::string(reason.message());
  ShardPeer& lost = shards_[shard];
  const absl::Time now = clock_.Now();
  // A process that takes a shard's place may be lost as well.
  const bool again = lost.away && job_->cluster().replicas() > 0 &&
                     now - lost.away_since < RejoinTimeout(*job_);
  if (Returns() && (!lost.away || again)) {
    spdlog::warn("shard {} was lost: {}; connecting anew", shard, why);
    if (!lost.away) lost.away_since = now;
    lost.away = true;
    Join(shard, shards_[shard].address, /*returns=*/true);
    return;
  }
  Leave(WithExitCode(
      absl::UnavailableError(absl::StrCat("shard ", shard, " was lost: ", why)),
      ExitCode::kPeerNeverCame));
}

void WorkerSession::Leave(const absl::Status& reason) {
  // Others need not end where they go on without this worker.
  if (job_ && ContinuesWithout(*job_)) {
    spdlog::error("this worker leaves: {}", std::string(reason.message()));
    result_ = reason;
    for (const auto& [peer, shard] : peers_) link_.Close(peer);
  } else {
    Abort(reason);
  }
}

absl::Status WorkerSession::OnShardBack(const Frame& frame) {
  TERSE_ASSIGN_OR_RETURN(const auto back, ParseMessage<wire::ShardBack>(frame));
  if (!job_ || job_->cluster().replicas() == 0 || back.shard() == 0 ||
      back.shard() >= shards_.size()) {
    return absl::InvalidArgumentError("a shard is back that was none");
  }
  // At the same place it is found without being told.
  ShardPeer& shard = shards_[back.shard()];
  if (shard.address == back.address()) return absl::OkStatus();
  spdlog::info("shard {} is at {} now", back.shard(), back.address());
  peers_.erase(shard.peer);
  link_.Close(shard.peer);
  if (!shard.away) shard.away_since = clock_.Now();
  shard.away = started_;
  Join(back.shard(), back.address(), /*returns=*/started_);
  return absl::OkStatus();
}

absl::Status WorkerSession::OnReturned(uint32_t shard,
                                       const wire::Welcome& welcome) {
  ShardPeer& back = shards_[shard];
  if (!Returns() || !back.away) {
    return absl::InvalidArgumentError("welcomed twice");
  }
  back.away = false;
  if (awaited_->weights.version() < welcome.published_version() &&
      ContinuesWithout(*job_)) {
    Leave(WithExitCode(
        absl::UnavailableError(absl::StrCat(
            "the job went on to step ", welcome.published_version(),
            " while this worker was away at step ", awaited_->weights.version(),
            ": it has to join anew")),
        ExitCode::kPeerNeverCame));
    return absl::OkStatus();
  }
  spdlog::info("back at shard {}", shard);
  const std::vector<Frame> frames = std::exchange(back.sent, {});
  absl::Status sent = link_.Send(back.peer, MakePull(*awaited_));
  for (const Frame& frame : frames) sent.Update(SendToShard(shard, frame));
  return absl::IsNotFound(sent) ? absl::OkStatus() : sent;
}

absl::Status WorkerSession::BeginUnderWay() {
  awaited_ = std::make_unique<AwaitedBlocks>(*job_, *plan_, first_version_,
                                             /*under_way=*/true);
  sent_version_ = first_version_;
  spdlog::info("the job is at step {}", first_version_);
  absl::Status sent;
  for (uint32_t s = 0; s < shards_.size(); ++s) {
    sent.Update(SendToShard(s, MakePull(*awaited_)));
  }
  TERSE_RETURN_IF_ERROR(sent);
  return AdoptStart(*under_way_);
}

uint64_t WorkerSession::AheadMax() const {
  const uint64_t late = job_->cluster().backup_workers() > 0
                            ? job_->cluster().staleness_steps_max() + 1
                            : 0;
  // A shard may be a version ahead of the step that this worker has to repeat.
  return std::max<uint64_t>(late, under_way_.has_value());
}

bool WorkerSession::IsDue(const BlockSet& set, const Frame& frame) {
  if (!OutlivesWorkers(*job_) && !ClosesIncomplete(*job_)) return true;
  // Nonsense is for the set to refuse.
  if (frame.block >= plan_->blocks.size()) return true;
  if (frame.step < set.version() ||
      (frame.step == set.version() && set.taken(frame.block))) {
    return false;
  }
  const uint64_t version = awaited_->weights.version();
  const uint64_t ahead_max = AheadMax();
  if (!started_ || frame.step <= version || frame.step > version + ahead_max ||
      early_frames_.size() > (ahead_max + 1) * 3 * plan_->blocks.size()) {
    return true;
  }
  early_frames_.push_back(frame);
  return false;
}

void WorkerSession::HandleEarlyFrames() {
  const auto due = [this](const Frame& frame) {
    return frame.step <= awaited_->weights.version();
  };
  while (!ended() && !computing_ &&
         std::any_of(early_frames_.begin(), early_frames_.end(), due)) {
    // A step must not begin, and wait, for what is still in this list.
    handling_early_ = true;
    for (Frame& frame : std::exchange(early_frames_, {})) {
      const PeerId from = shards_[plan_->blocks[frame.block].shard].peer;
      if (ended() || !peers_.contains(from)) continue;
      const absl::Status handled = Dispatch(from, frame);
      if (!handled.ok()) Abort(handled);
    }
    handling_early_ = false;
  }
}

bool WorkerSession::IsBehind() {
  if (job_->cluster().backup_workers() == 0) return false;
  if (options_.handle_pending_event) {
    // What has come already tells; blocks wait in early_frames_.
    computing_ = true;
    while (!ended() && options_.handle_pending_event()) {
    }
    computing_ = false;
  }
  const uint64_t next = awaited_->weights.version() + 1;
  return std::any_of(early_frames_.begin(), early_frames_.end(),
                     [next](const Frame& frame) {
                       return frame.type == wire::WEIGHTS && frame.step == next;
                     });
}

absl::Status WorkerSession::SkipStep(uint64_t step) {
  spdlog::debug("step {} goes on without this worker", step);
  ForgetSent(step);
  awaited_->weights.Await(step + 1);
  return absl::OkStatus();
}

void WorkerSession::KeepForLate(const Frame& frame) {
  const uint32_t tensor = plan_->blocks[frame.block].tensor;
  if (!ClosesIncomplete(*job_) || !plan_->tensors[tensor].error_feedback) {
    return;
  }
  const uint64_t steps_max = job_->cluster().staleness_steps_max() + 1;
  while (!may_be_late_.empty() &&
         may_be_late_.front().step + steps_max < frame.step) {
    may_be_late_.pop_front();
  }
  may_be_late_.push_back(frame);
}

absl::Status WorkerSession::OnLate(const Frame& frame) {
  if (!started_ || !ClosesIncomplete(*job_) ||
      frame.block >= plan_->blocks.size()) {
    return absl::InvalidArgumentError("nothing can be late");
  }
  const auto sent = std::find_if(
      may_be_late_.begin(), may_be_late_.end(), [&](const Frame& kept) {
        return kept.block == frame.block && kept.step == frame.step;
      });
  if (sent == may_be_late_.end()) return absl::OkStatus();
  uplink_->TakeBack(frame.block, sent->payload);
  may_be_late_.erase(sent);
  return absl::OkStatus();
}

}  // namespace terse
