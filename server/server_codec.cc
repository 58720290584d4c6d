// How a server changes the codec of `compress.gradient: auto`; the rest of
// Server is in server.cc.
#include <algorithm>
#include <utility>

#include "common/base/status.h"
#include "common/config/job.h"
#include "common/cost/candidates.h"
#include "common/cost/traffic.h"
#include "common/wire/messages.h"
#include "server/server.h"
#include "spdlog/spdlog.h"

namespace terse {
namespace {

// A codec must be so much faster to be worth a checkpoint and a start: of a
// step, the share that it may take.
constexpr double kWorthwhile = 0.9;

bool SameCodec(const GradientCodec& a, const GradientCodec& b) {
  return PrintCodec(a) == PrintCodec(b);
}

}  // namespace

absl::StatusOr<Job> Server::JobToStart() const {
  Job job = *options_.job;
  if (!IsAuto(job)) return job;
  uint64_t version = 0;
  if (options_.resume) {
    const CheckpointManifest& manifest = options_.resume->manifest;
    version = manifest.version;
    if (job.compress().auto_().choices().empty()) {
      TERSE_ASSIGN_OR_RETURN(
          const Job saved,
          ParseJob(manifest.job_yaml, options_.resume->folder, {}));
      *job.mutable_compress()->mutable_auto_()->mutable_choices() =
          saved.compress().auto_().choices();
    }
  }
  return WithChoicesUntil(job, version);
}

absl::Status Server::PrepareCodecChooser() {
  if (!IsAuto(*job_)) return absl::OkStatus();
  if (options_.checkpoint_directory.empty() && PlannedAfter(first_version_)) {
    return WithExitCode(
        absl::InvalidArgumentError(
            "compress.auto.choices change the codec while the job runs, which "
            "needs checkpoints: give --run-dir or --checkpoint-dir"),
        ExitCode::kBadJob);
  }
  if (!options_.rates) options_.rates = std::make_shared<CodecRates>();
  codec_.checked = clock_.Now();
  codec_.chooser = std::make_unique<CodecChooser>(
      *job_, TensorShares(*plan_), options_.rates,
      CodecChooser::Output{
          .send =
              [this](uint32_t worker, Frame frame) {
                if (workers_[worker]) Send(*workers_[worker], std::move(frame));
              },
          .processor_seconds = options_.processor_seconds,
          .chosen = [this](size_t candidate) { OnCodecChosen(candidate); }});
  return absl::OkStatus();
}

bool Server::PlannedAfter(uint64_t version) const {
  const auto& choices = options_.job->compress().auto_().choices();
  return !choices.empty() && choices.rbegin()->step() > version;
}

absl::Status Server::OnCodecFrame(uint32_t worker, const Frame& frame) {
  if (!codec_.chooser) {
    return absl::InvalidArgumentError("a measurement nobody asked for");
  }
  if (frame.type == wire::PROBE) {
    return codec_.chooser->OnProbe(clock_.Now(), worker, frame);
  }
  TERSE_ASSIGN_OR_RETURN(const auto measured,
                         ParseMessage<wire::Measured>(frame));
  return codec_.chooser->OnMeasured(clock_.Now(), worker, measured);
}

void Server::OnCodecChosen(size_t candidate) {
  codec_.checked = clock_.Now();
  const GradientCodec codec = Candidates(*job_)[candidate];
  const std::vector<StepCost> costs = codec_.chooser->Predict();
  bool changes = !started_;
  if (started_ && !codec_.next) {
    // Of a codec that is no candidate any more nothing is known.
    changes = true;
    for (size_t i = 0; i < costs.size(); ++i) {
      if (!SameCodec(Candidates(*job_)[i], GradientOf(*job_))) continue;
      changes = costs[candidate].step_ms < kWorthwhile * costs[i].step_ms;
    }
  }
  if (!changes) return;
  for (const std::string& line : codec_.chooser->Lines(candidate)) {
    spdlog::info("{}", line);
  }
  if (options_.on_event) {
    nlohmann::json event = codec_.chooser->Describe(candidate);
    event["event"] = "codec";
    event["step"] = started_ ? Version() : first_version_;
    options_.on_event(event);
  }
  if (!started_) {
    GoOn({.job = WithChoice(*options_.job, 0, codec)});
    return;
  }
  codec_.next = codec;
  job_checkpoints_->DemandNext();
}

void Server::CheckCodec() {
  if (!codec_.chooser || !job_checkpoints_ || ended() || codec_.next ||
      codec_.chooser->busy()) {
    return;
  }
  const uint32_t seconds = job_->compress().auto_().check_every_seconds();
  // A job that is given its choices makes these first.
  if (seconds == 0 || PlannedAfter(plan_->codec_since) ||
      clock_.Now() - codec_.checked < absl::Seconds(seconds)) {
    return;
  }
  codec_.chooser->Begin(clock_.Now(), /*compute=*/false);
}

void Server::DemandChange(uint64_t version) {
  if (!codec_.chooser || codec_.next) return;
  for (const auto& choice : options_.job->compress().auto_().choices()) {
    if (choice.step() != version || version <= first_version_) continue;
    codec_.next = choice.gradient();
    job_checkpoints_->DemandNext();
  }
}

Job Server::JobFrom(uint64_t version) const {
  for (const auto& choice : options_.job->compress().auto_().choices()) {
    if (choice.step() == version) return *options_.job;
  }
  return WithChoice(*job_, version, *codec_.next);
}

void Server::GoOn(NextServer next) {
  spdlog::info("the job goes on with another codec: everybody joins again");
  next.rates = options_.rates;
  next_ = std::move(next);
  result_ = absl::OkStatus();
  for (const auto& [peer, unused] : peers_) {
    link_.Send(peer, MakeRejoin()).IgnoreError();
    link_.Close(peer);
  }
  for (auto& [peer, join] : std::exchange(early_joins_, {})) {
    next_->Hold(peer, MakeMessage(wire::JOIN, join));
  }
}

}  // namespace terse
