#include "server/replication.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/checkpoint/members.h"
#include "common/config/job.h"
#include "common/optimizer/schedule.h"
#include "common/wire/event_loop.h"
#include "common/wire/messages.h"
#include "spdlog/spdlog.h"

namespace terse {
namespace {

uint32_t MirroredAt(const Job& job, uint32_t shard) {
  const uint32_t servers = job.cluster().servers();
  return (shard + servers - 1) % servers;
}

absl::Status LostStatus(const std::string& what) {
  return WithExitCode(absl::UnavailableError(what), ExitCode::kPeerNeverCame);
}

}  // namespace

Replication::Replication(const Job& job, const Plan& plan, uint32_t index,
                         std::string token, Link& link, const Clock& clock,
                         Shard& shard, StateSource source)
    : job_(job),
      plan_(plan),
      index_(index),
      token_(std::move(token)),
      link_(link),
      clock_(clock),
      shard_(shard),
      source_(std::move(source)) {}

std::string Replication::NameOf(PeerId id) const {
  return absl::StrCat("shard ", id == mirror_ ? MirrorOf(job_, index_)
                                              : MirroredAt(job_, index_));
}

void Replication::Drop(std::optional<PeerId>& peer) {
  if (!peer) return;
  leaving_.insert(*peer);
  link_.Close(*std::exchange(peer, std::nullopt));
}

void Replication::Connect(const std::string& address) {
  if (mirror_ && address == address_) return;
  Dial(address);
}

void Replication::Fetch(const std::string& address) {
  fetched_ = std::make_unique<Mirror>(job_, plan_, index_);
  Dial(address);
}

void Replication::Dial(const std::string& address) {
  Drop(mirror_);
  ready_ = false;
  queue_.Clear();
  sent_.clear();
  state_sent_.reset();
  address_ = address;
  // The coordinator, who knows more, speaks first.
  mirror_ = link_.Connect(address, RejoinTimeout(job_) + kStopTimeout);
  wire::Join join;
  join.set_role(wire::Join::SHARD);
  join.set_rank(index_);
  join.set_token(token_);
  join.set_mirrored(true);
  join.set_restored(fetching());
  // A peer that is lost by now is told of by OnPeerLost.
  link_.Send(*mirror_, MakeMessage(wire::JOIN, join)).IgnoreError();
}

absl::Status Replication::Admit(PeerId id, const wire::Join& join) {
  const uint32_t shard = MirroredAt(job_, index_);
  if (join.rank() != shard) {
    return absl::InvalidArgumentError(
        absl::StrCat("shard ", join.rank(), " is not mirrored here"));
  }
  if (kept_ == nullptr) kept_ = std::make_unique<Mirror>(job_, plan_, shard);
  if (join.restored() && !Keeps()) {
    return LostStatus(absl::StrCat("shard ", shard,
                                   " was lost and not all of it is mirrored"));
  }
  // It knows sooner than this server that its connection has gone.
  Drop(mirrored_);
  back_.Clear();
  mirrored_ = id;
  link_.Admit(id, MirroredBytesMax(job_, plan_, shard));
  wire::Welcome welcome;
  welcome.set_rank(join.rank());
  // A process that was started as the coordinator has read the job anew.
  if (join.restored()) welcome.set_job_yaml(PrintJob(job_));
  link_.Send(id, MakeMessage(wire::WELCOME, welcome)).IgnoreError();
  if (join.restored()) {
    if (kept_state_) {
      link_.Send(id, MakeMessage(wire::JOB_STATE, *kept_state_)).IgnoreError();
    }
    for (const auto& [block, kept] : kept_->kept()) back_.Add(block);
    SendBack();
  }
  return absl::OkStatus();
}

void Replication::OnBlock(uint32_t block) {
  if (!ready_) return;  // All will be sent.
  queue_.Add(block);
  SendToMirror();
}

void Replication::SendToMirror() {
  while (const std::optional<uint32_t> block = queue_.Next()) {
    const auto before = sent_.find(*block);
    std::optional<Frame> frame = shard_.MirrorFrame(
        *block,
        before != sent_.end() ? std::optional(before->second) : std::nullopt);
    if (!frame) continue;
    // In no version is there a block of which the rest of the job is not known.
    SendState();
    sent_[*block] = frame->step;
    queue_.OnSent(*block, frame->payload.size());
    link_.Send(*mirror_, *std::move(frame)).IgnoreError();
  }
}

void Replication::SendState() {
  if (!source_.state || state_sent_ == source_.changes()) return;
  state_sent_ = source_.changes();
  link_.Send(*mirror_, MakeMessage(wire::JOB_STATE, source_.state()))
      .IgnoreError();
}

void Replication::SendBack() {
  while (const std::optional<uint32_t> block = back_.Next()) {
    const Mirror::Kept& kept = kept_->kept().at(*block);
    Buffer payload =
        MirrorPayload(job_, plan_, kept_->store(), *block, kept.rest);
    back_.OnSent(*block, payload.size());
    link_
        .Send(*mirrored_,
              MakeFrame(wire::MIRROR, kept.version, *block, std::move(payload)))
        .IgnoreError();
  }
}

absl::Status Replication::OnFrame(PeerId id, Frame& frame) {
  if (id == mirror_) return OnMirrorFrame(frame);
  if (id == mirrored_) return OnMirroredFrame(frame);
  return absl::OkStatus();  // What was under way when it was dropped.
}

absl::Status Replication::CheckSameJob(const Frame& frame) const {
  TERSE_ASSIGN_OR_RETURN(const auto welcome,
                         ParseMessage<wire::Welcome>(frame));
  if (welcome.job_yaml() == PrintJob(job_)) return absl::OkStatus();
  return WithExitCode(
      absl::InvalidArgumentError(
          "the job under way is not the one that this server was started "
          "with: start it with the same job file"),
      ExitCode::kBadJob);
}

absl::Status Replication::OnMirrorFrame(Frame& frame) {
  const Frame answer =
      MakeFrame(wire::MIRRORED, frame.step, frame.block, Buffer());
  if (frame.type == wire::WELCOME && !ready_) {
    ready_ = true;
    away_since_.reset();
    if (fetching()) return CheckSameJob(frame);
    SendState();
    for (const uint32_t block : shard_.store().blocks()) queue_.Add(block);
    SendToMirror();
    return absl::OkStatus();
  }
  if (frame.type == wire::JOB_STATE && fetching() && index_ == 0) {
    TERSE_ASSIGN_OR_RETURN(fetched_state_, ParseMessage<wire::JobState>(frame));
    return absl::OkStatus();
  }
  if (frame.type == wire::MIRROR && fetching()) {
    TERSE_RETURN_IF_ERROR(
        fetched_->Take(frame.step, frame.block, frame.payload));
    link_.Send(*mirror_, answer).IgnoreError();
    return absl::OkStatus();
  }
  if (frame.type == wire::MIRRORED && !fetching()) {
    TERSE_RETURN_IF_ERROR(queue_.OnAnswer(frame.block));
    const absl::Status published = shard_.OnMirrored(frame.step, frame.block);
    SendToMirror();
    return published;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("frame of type ", frame.type, " from a mirror"));
}

absl::Status Replication::OnMirroredFrame(Frame& frame) {
  const bool sum = frame.type == wire::MIRROR_SUM;
  if (sum && (frame.step == 0 || frame.step > timeline_.steps_total)) {
    return absl::InvalidArgumentError(
        absl::StrCat("a gradient for version ", frame.step));
  }
  if (sum || frame.type == wire::MIRROR) {
    TERSE_RETURN_IF_ERROR(
        sum ? kept_->TakeSum(frame.step, frame.block,
                             LearningRate(job_.optimizer(), frame.step - 1,
                                          timeline_.steps_total,
                                          timeline_.steps_per_epoch),
                             frame.payload)
            : kept_->Take(frame.step, frame.block, frame.payload));
    link_
        .Send(*mirrored_,
              MakeFrame(wire::MIRRORED, frame.step, frame.block, Buffer()))
        .IgnoreError();
    return absl::OkStatus();
  }
  if (frame.type == wire::JOB_STATE && mirrors_coordinator()) {
    TERSE_ASSIGN_OR_RETURN(kept_state_, ParseMessage<wire::JobState>(frame));
    return absl::OkStatus();
  }
  if (frame.type == wire::MIRRORED) {
    TERSE_RETURN_IF_ERROR(back_.OnAnswer(frame.block));
    SendBack();
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "frame of type ", frame.type, " from a shard that is mirrored"));
}

absl::Status Replication::OnPeerLost(PeerId id, const absl::Status& reason) {
  if (leaving_.erase(id) > 0) return absl::OkStatus();
  if (id == mirrored_) {
    mirrored_.reset();
    back_.Clear();
    return absl::OkStatus();
  }
  spdlog::warn("{}, which mirrors this server, was lost", NameOf(id));
  mirror_.reset();
  ready_ = false;
  queue_.Clear();
  const absl::Time now = clock_.Now();
  if (!away_since_) away_since_ = now;
  const std::string why =
      reason.ok() ? "it closed the connection" : std::string(reason.message());
  if (fetching() || now - *away_since_ >= RejoinTimeout(job_)) {
    return LostStatus("it mirrors this server, and was lost: " + why);
  }
  Dial(address_);
  return absl::OkStatus();
}

void Replication::End(const Frame* last) {
  for (std::optional<PeerId>* peer : {&mirror_, &mirrored_}) {
    if (!*peer || (last == nullptr && peer == &mirrored_)) continue;
    if (last != nullptr) link_.Send(**peer, *last).IgnoreError();
    Drop(*peer);
  }
}

}  // namespace terse
