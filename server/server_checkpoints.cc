// How a server keeps checkpoints and goes on from them; the rest of Server is
// in server.cc.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/status.h"
#include "common/checkpoint/members.h"
#include "common/config/job.h"
#include "common/cost/candidates.h"
#include "common/wire/event_loop.h"
#include "common/wire/messages.h"
#include "server/server.h"
#include "spdlog/spdlog.h"

namespace terse {
namespace {

bool AnyVacant(const std::vector<Member>& members) {
  return std::any_of(members.begin(), members.end(), [](const Member& member) {
    return member.vacant_since.has_value();
  });
}

}  // namespace

absl::Status Server::PrepareResume() {
  if (!options_.resume) return absl::OkStatus();
  TERSE_RETURN_IF_ERROR(CheckSameJob(*job_, *options_.resume));
  resume_folder_ = options_.resume->folder;
  first_version_ = options_.resume->manifest.version;
  spdlog::info("goes on from step {} in {}", first_version_, resume_folder_);
  const uint32_t workers_before = options_.resume->manifest.workers;
  if (workers_before != job_->cluster().workers()) {
    spdlog::warn(
        "the checkpoint is of {} workers and the job has {}: the residuals of "
        "worker i go to worker i modulo {}, their sum stays; the mini-batches "
        "are others from here on",
        workers_before, job_->cluster().workers(), job_->cluster().workers());
  }
  return absl::OkStatus();
}

absl::Status Server::ResumeShard(const Timeline& timeline) {
  TERSE_ASSIGN_OR_RETURN(const FoundCheckpoint checkpoint,
                         ReadCheckpoint(resume_folder_));
  std::optional<uint32_t> only;
  // Another codec may have cut other blocks.
  if (checkpoint.manifest.servers == ServerCount(*job_) &&
      plan_->codec_since != checkpoint.manifest.version) {
    only = options_.shard;
  }
  TERSE_ASSIGN_OR_RETURN(const SavedState saved,
                         SavedState::Open(checkpoint, only));
  return shard_->Resume(timeline, saved);
}

void Server::PrepareCheckpoints() {
  if (options_.checkpoint_directory.empty() || !options_.background) return;
  shard_checkpoints_ = std::make_unique<ShardCheckpoints>(
      *plan_, options_.shard, ServerCount(*job_), options_.checkpoint_directory,
      *options_.background,
      [this](uint64_t version, const wire::Checkpointed& part) {
        OnPartWritten(version, part);
      });
  if (!coordinator()) return;
  job_checkpoints_ = std::make_unique<JobCheckpoints>(
      *job_, job_yaml_, options_.checkpoint_directory, *options_.background,
      [this](uint64_t version, const std::string& folder,
             const absl::Status& status) {
        OnCheckpointDone(version, folder, status);
      });
}

void Server::AnnounceCheckpoint(uint64_t version) {
  announced_.insert(version);
  const Frame frame = MakeFrame(wire::CHECKPOINT, version, 0, Buffer());
  for (uint32_t w = 0; w < workers_.size(); ++w) {
    if (workers_[w] && members_[w].receives) Send(*workers_[w], frame);
  }
}

void Server::OnVersionOpened(uint64_t version) {
  if (!job_checkpoints_ || ended()) return;
  DemandChange(version);
  coordinator_->OnChange();
  if (!job_checkpoints_->Begin(clock_.Now(), version)) return;
  AnnounceCheckpoint(version);
  if (codec_.next && !codec_.version) {
    codec_.version = version;
    job_checkpoints_->SetJob(
        version, PrintJob(WithChoicesUntil(JobFrom(version), version)));
  }
}

absl::Status Server::OnCheckpointFrame(uint32_t worker, Frame& frame) {
  if (!shard_checkpoints_ || !started_) {
    return absl::InvalidArgumentError("a checkpoint nobody asked for");
  }
  if (frame.type == wire::CUT) {
    return shard_checkpoints_->OnCut(worker, frame.step, shard_->version(),
                                     shard_->store());
  }
  if (frame.block >= plan_->blocks.size() ||
      plan_->blocks[frame.block].shard != options_.shard) {
    return absl::InvalidArgumentError(
        absl::StrCat("block ", frame.block, " is not one of this shard's"));
  }
  return shard_checkpoints_->OnKept(worker, frame.step, shard_->version(),
                                    frame.block, std::move(frame.payload),
                                    shard_->store());
}

void Server::OnPartWritten(uint64_t version, const wire::Checkpointed& part) {
  if (ended()) return;
  if (!coordinator()) {
    TellCoordinator(MakeMessage(wire::CHECKPOINTED, part, version));
    return;
  }
  job_checkpoints_->OnPart(0, version, part, coordinator_->AccuracyOf(version));
}

void Server::OnCheckpointDone(uint64_t version, const std::string& folder,
                              const absl::Status& status) {
  if (ended()) return;
  announced_.erase(version);
  coordinator_->OnChange();
  coordinator_->OnCheckpoint(clock_.Now(), version, folder, status);
  if (status.ok()) {
    spdlog::info("checkpoint of step {} in {}", version, folder);
  } else {
    spdlog::warn("no checkpoint of step {}: {}", version,
                 std::string(status.message()));
  }
  const bool last = job_checkpoints_->final_done();
  if (!status.ok() && (last || stop_signal_ != 0)) {
    Abort(Annotate(status, absl::StrCat("no checkpoint of step ", version)));
    return;
  }
  if (stop_signal_ != 0 && !last) {
    Abort(
        WithExitCode(absl::CancelledError(absl::StrCat(
                         "stopped by a signal after the checkpoint ", folder)),
                     static_cast<ExitCode>(128 + stop_signal_)));
    return;
  }
  if (version == codec_.version) {
    const Job next = JobFrom(version);
    codec_.next.reset();
    codec_.version.reset();
    const auto& choices = options_.job->compress().auto_().choices();
    const bool planned = std::any_of(
        choices.begin(), choices.end(),
        [version](const auto& choice) { return choice.step() == version; });
    if (!status.ok() && planned) {
      Abort(status);
      return;
    }
    if (status.ok()) {
      const auto checkpoint = ReadCheckpoint(folder);
      if (checkpoint.ok()) {
        GoOn({.job = next, .resume = *checkpoint});
      } else {
        Abort(checkpoint.status());
      }
      return;
    }
  }
  CompleteIfDone();
}

absl::Status Server::OnStop(const Frame& frame) {
  TERSE_ASSIGN_OR_RETURN(const auto stop, ParseMessage<wire::Stop>(frame));
  // A peer cannot choose any exit code.
  Stop(stop.signal() == 2 ? 2 : 15);
  return absl::OkStatus();
}

void Server::CheckDeadlines() {
  if (ended()) return;
  const absl::Time now = clock_.Now();
  if (stop_signal_ != 0 && now >= stop_deadline_) {
    Abort(StoppedStatus(stop_signal_));
    return;
  }
  // In SSP and async, that of the slowest worker.
  if (version_seen_.first != shard_->version()) {
    version_seen_ = {shard_->version(), now};
  }
  const uint32_t seconds = job_->cluster().step_timeout_seconds();
  if (seconds == 0) return;
  // The coordinator, which knows more, speaks first.
  const absl::Duration more =
      coordinator() ? absl::ZeroDuration() : kStopTimeout;
  if (now - version_seen_.second < absl::Seconds(seconds) + more) return;
  std::vector<std::string> missing;
  for (uint32_t w = 0; w < workers_.size(); ++w) {
    if (coordinator() && !members_[w].said_goodbye &&
        !coordinator_->HasReported(w, shard_->version())) {
      missing.push_back(RoleName(wire::Join::WORKER, w));
    }
  }
  Abort(WithExitCode(
      absl::DeadlineExceededError(absl::StrCat(
          "step ", shard_->version(), " has not ended within ",
          "cluster.step_timeout_seconds = ", seconds,
          missing.empty() ? "" : ", missing: ", absl::StrJoin(missing, ", "))),
      ExitCode::kPeerNeverCame));
}

void Server::Stop(int signal) {
  if (ended()) return;
  // A step that waits for somebody who was lost has no end to be kept.
  const bool waits = AnyVacant(shard_members_) ||
                     (coordinator_peer_ && coordinator_peer_->away_since()) ||
                     (AnyVacant(members_) && job_ && !ContinuesWithout(*job_));
  if (!started_ || shard_checkpoints_ == nullptr || waits) {
    Abort(StoppedStatus(signal));
    return;
  }
  if (std::exchange(stop_signal_, signal) != 0) return;
  stop_deadline_ = clock_.Now() + kStopTimeout;
  if (coordinator()) {
    job_checkpoints_->DemandNext();
    return;
  }
  wire::Stop stop;
  stop.set_signal(signal);
  TellCoordinator(MakeMessage(wire::STOP, stop));
}

}  // namespace terse
