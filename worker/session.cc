#include "worker/session.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/checkpoint/members.h"
#include "common/config/job.h"
#include "common/optimizer/schedule.h"
#include "common/wire/messages.h"
#include "spdlog/spdlog.h"

namespace terse {
namespace {

uint64_t Nanoseconds(absl::Duration duration) {
  return static_cast<uint64_t>(
      std::max<int64_t>(0, absl::ToInt64Nanoseconds(duration)));
}

void Accumulate(const wire::StepTimes& step, wire::StepTimes& sum) {
  sum.set_total_ns(sum.total_ns() + step.total_ns());
  sum.set_compute_ns(sum.compute_ns() + step.compute_ns());
  sum.set_encode_ns(sum.encode_ns() + step.encode_ns());
  sum.set_wait_ns(sum.wait_ns() + step.wait_ns());
  sum.set_decode_ns(sum.decode_ns() + step.decode_ns());
  sum.set_apply_ns(sum.apply_ns() + step.apply_ns());
}

}  // namespace

WorkerSession::WorkerSession(SessionOptions options, ModelFactory make_model,
                             Link& link, const Clock& clock)
    : options_(std::move(options)),
      make_model_(std::move(make_model)),
      link_(link),
      clock_(clock) {}

void WorkerSession::Start() {
  join_deadline_ = clock_.Now() + options_.join_timeout;
  counters_before_ = link_.Counters();
  Join(0, options_.coordinator_address, /*returns=*/false);
}

void WorkerSession::OnFrame(PeerId id, Frame frame) {
  const auto peer = peers_.find(id);
  if (peer == peers_.end() || ended()) return;
  const absl::Status handled = Dispatch(id, frame);
  if (!handled.ok()) Abort(handled);
  if (!early_frames_.empty()) HandleEarlyFrames();
}

absl::Status WorkerSession::Dispatch(PeerId peer, const Frame& frame) {
  switch (frame.type) {
    case wire::WELCOME:
      return OnWelcome(peer, frame);
    case wire::START:
      return OnStart(frame);
    case wire::WEIGHTS:
      return OnWeights(frame);
    case wire::SUMS:
      return OnSum(frame);
    case wire::BASIS:
      return OnBasis(frame);
    case wire::KEPT:
      return OnKept(frame);
    case wire::STATE:
      return OnState(frame);
    case wire::LATE:
      return OnLate(frame);
    case wire::CHECKPOINT:
      return OnCheckpoint(frame.step);
    case wire::MEAN_BUFFERS:
    case wire::EVALUATION_WEIGHTS:
      return OnEvaluationBlock(frame);
    case wire::MEASURE:
      return OnMeasure(frame);
    case wire::PROBE:
      return SendToShard(peers_.at(peer), frame);
    case wire::SHARD_BACK:
      return OnShardBack(frame);
    case wire::ABORT:
      // The others are told: they may see this worker leave before they hear
      // from the sender why.
      goes_on_ = IsRejoin(frame);
      End(goes_on_ ? absl::OkStatus() : StatusOfAbort(frame), peer);
      return absl::OkStatus();
    case wire::FINISH:
      spdlog::info("the job is done");
      End(absl::OkStatus(), peer);
      return absl::OkStatus();
    default:
      return absl::InvalidArgumentError(absl::StrCat(
          "frame of type ", frame.type, " from shard ", peers_.at(peer)));
  }
}

absl::Status WorkerSession::OnWelcome(PeerId peer, const Frame& frame) {
  TERSE_ASSIGN_OR_RETURN(const auto welcome,
                         ParseMessage<wire::Welcome>(frame));
  const uint32_t shard = peers_.at(peer);
  if (started_) return OnReturned(shard, welcome);
  if (shard == 0) {
    if (job_) return absl::InvalidArgumentError("welcomed twice");
    TERSE_RETURN_IF_ERROR(AdoptJob(welcome));
  }
  if (welcome.has_start()) {
    first_version_ = under_way_
                         ? std::min(first_version_, welcome.published_version())
                         : welcome.published_version();
    under_way_ = welcome.start();
  }
  shards_[shard].welcomed = true;
  return ReadyIfWelcomed();
}

absl::Status WorkerSession::AdoptJob(const wire::Welcome& welcome) {
  rank_ = welcome.rank();
  spdlog::info("joined {} as worker {}", options_.coordinator_address, *rank_);
  TERSE_ASSIGN_OR_RETURN(
      job_, ParseJob(welcome.job_yaml(), "the coordinator's job", {}));
  if (*rank_ >= job_->cluster().workers()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "worker ", *rank_, " of a job with ", job_->cluster().workers()));
  }
  TERSE_ASSIGN_OR_RETURN(Plan plan, MakePlan(*job_));
  plan_ = std::make_unique<Plan>(std::move(plan));
  const uint32_t servers = ServerCount(*job_);
  if (welcome.shard_addresses_size() != static_cast<int>(servers)) {
    return absl::InvalidArgumentError(
        absl::StrCat("the coordinator names ", welcome.shard_addresses_size(),
                     " of ", servers, " shards"));
  }
  shards_.resize(servers);
  // Other shards are asked first: they answer while the data are read.
  for (uint32_t s = 1; s < servers; ++s) {
    Join(s, welcome.shard_addresses(s), /*returns=*/false);
  }
  TERSE_ASSIGN_OR_RETURN(model_, make_model_(*job_, *plan_, *rank_));
  uplink_ = std::make_unique<Uplink>(
      *plan_, job_->seed(), *rank_, job_->cluster().threads_per_worker(),
      [this](uint32_t shard, Frame frame) {
        return SendToShard(shard, std::move(frame));
      });
  overlaps_ =
      plan_->lockstep && options_.handle_next_event &&
      model_->SetHooks(
          {.await = [this](uint32_t tensor) { return AwaitTensor(tensor); },
           .on_part =
               [this](uint32_t tensor, std::span<const float> ready) {
                 if (measuring_) return absl::OkStatus();
                 return Encode([&] {
                   return uplink_->PushReady(computed_step_, tensor, ready);
                 });
               }});
  replica_ = std::make_unique<Replica>(*job_, *plan_);
  factor_steps_.resize(plan_->blocks.size());
  first_version_ = welcome.first_version();
  if (!welcome.has_start()) {
    awaited_ = std::make_unique<AwaitedBlocks>(*job_, *plan_, first_version_,
                                               /*under_way=*/false);
  }
  return absl::OkStatus();
}

absl::Status WorkerSession::ReadyIfWelcomed() {
  for (const ShardPeer& shard : shards_) {
    if (!shard.welcomed) return absl::OkStatus();
  }
  wire::Ready ready;
  ready.set_train_samples(model_->train_samples());
  ready.set_test_samples(model_->test_samples());
  ready.set_host(options_.host);
  ready.set_cores(options_.cores);
  TERSE_RETURN_IF_ERROR(SendToShard(0, MakeMessage(wire::READY, ready)));
  return under_way_ ? BeginUnderWay() : absl::OkStatus();
}

absl::Status WorkerSession::OnStart(const Frame& frame) {
  TERSE_ASSIGN_OR_RETURN(const auto start, ParseMessage<wire::Start>(frame));
  if (!awaited_ || started_) {
    return absl::InvalidArgumentError("a second start");
  }
  return AdoptStart(start);
}

absl::Status WorkerSession::AdoptStart(const wire::Start& start) {
  timeline_ = {.steps_total = start.steps_total(),
               .steps_per_epoch = start.steps_per_epoch(),
               .evaluate_every_steps = job_->train().evaluate_every_epochs() *
                                       start.steps_per_epoch(),
               .observe_every_steps = start.observe_every_steps()};
  uplink_->SetStepsPerEpoch(std::max<uint64_t>(1, timeline_.steps_per_epoch));
  started_ = true;
  pushed_ = clock_.Now();
  spdlog::info("started: {} steps of {} samples", timeline_.steps_total,
               job_->train().batch_size());
  return TakeEarlyBlocks();  // Of shards that were faster.
}

absl::Status WorkerSession::TakeWeights(const Frame& frame) {
  TERSE_RETURN_IF_ERROR(awaited_->weights.Take(frame.step, frame.block));
  if (plan_->blocks[frame.block].shard == 0) coordinator_version_ = frame.step;
  return absl::OkStatus();
}

absl::Status WorkerSession::OnWeights(const Frame& frame) {
  if (!awaited_) return absl::InvalidArgumentError("weights before the job");
  if (!IsDue(awaited_->weights, frame)) return absl::OkStatus();
  TERSE_RETURN_IF_ERROR(TakeWeights(frame));
  const uint32_t tensor = plan_->blocks[frame.block].tensor;
  if (plan_->tensors[tensor].sum_down && frame.step > first_version_) {
    return absl::InvalidArgumentError(
        absl::StrCat("weights of ", plan_->model.tensors[tensor].name,
                     ", of which the sum of the gradients comes down"));
  }
  const absl::Time begin = clock_.Now();
  Buffer payload = frame.payload;
  TERSE_ASSIGN_OR_RETURN(const float scale,
                         TakeSharedScale(*plan_, frame.block, payload));
  TERSE_ASSIGN_OR_RETURN(const std::vector<float> right,
                         TakeRightFactor(*plan_, frame.block, payload));
  TERSE_RETURN_IF_ERROR(
      DecodeWeights(*plan_, frame.block, payload, model_->Values(tensor)));
  uplink_->SetSharedScale(frame.block, scale);
  if (!right.empty()) uplink_->LowRankOf(tensor)->SetRight(right);
  times_.set_decode_ns(times_.decode_ns() + Nanoseconds(clock_.Now() - begin));
  return OnBlockTaken();
}

absl::Status WorkerSession::OnSum(const Frame& frame) {
  if (!started_) return absl::InvalidArgumentError("a sum before the start");
  if (!IsDue(awaited_->weights, frame)) return absl::OkStatus();
  TERSE_RETURN_IF_ERROR(TakeWeights(frame));
  const uint32_t tensor = plan_->blocks[frame.block].tensor;
  if (!plan_->tensors[tensor].sum_down || frame.step == first_version_) {
    return absl::InvalidArgumentError(absl::StrCat(
        "sum of ", plan_->model.tensors[tensor].name, " for version ",
        frame.step, ", of which the weights come down"));
  }
  const absl::Time begin = clock_.Now();
  LowRankTensor* const low_rank = uplink_->LowRankOf(tensor);
  TERSE_RETURN_IF_ERROR(replica_->Decode(
      frame.block, uplink_->SharedScale(frame.block),
      low_rank != nullptr ? low_rank->basis() : std::span<const float>(),
      frame.payload.bytes()));
  uplink_->SetSharedScale(frame.block, SumNextScale(frame.payload.bytes()));
  if (low_rank != nullptr) {
    std::vector<float> right = SumRightFactor(frame.payload.bytes());
    WarmStart(plan_->tensors[tensor].low_rank,
              WarmStartKey(job_->seed(), frame.block), right);
    low_rank->SetRight(right);
  }
  const absl::Time decoded = clock_.Now();
  const uint64_t step = frame.step - 1;
  replica_->Update(frame.block, step,
                   LearningRate(job_->optimizer(), step, timeline_.steps_total,
                                timeline_.steps_per_epoch),
                   model_->Values(tensor));
  times_.set_decode_ns(times_.decode_ns() + Nanoseconds(decoded - begin));
  times_.set_apply_ns(times_.apply_ns() + Nanoseconds(clock_.Now() - decoded));
  return OnBlockTaken();
}

absl::Status WorkerSession::OnBlockTaken() {
  // The step that is under way goes on by itself.
  if (!started_ || computing_) return absl::OkStatus();
  if (awaited_->complete()) return OnVersion();
  if (!MayBeginEarly()) return absl::OkStatus();
  FinishStepTimes();
  return ComputeStep(awaited_->weights.version());
}

bool WorkerSession::MayBeginEarly() const {
  const uint64_t version = awaited_->weights.version();
  if (!overlaps_ || handling_early_ || !early_frames_.empty() ||
      version <= first_version_ || version >= timeline_.steps_total ||
      timeline_.EvaluatesAt(version)) {
    return false;
  }
  // What the worker keeps must be sent before the step changes it. A block of
  // the coordinator's comes behind the word that the version is to be kept.
  if (coordinator_version_ != version || checkpoints_.contains(version)) {
    return false;
  }
  const TensorPlan& first = plan_->tensors.front();
  for (uint32_t i = 0; i < first.block_count; ++i) {
    if (!awaited_->weights.taken(first.first_block + i)) return false;
  }
  return true;
}

absl::Status WorkerSession::AwaitTensor(uint32_t tensor) {
  if (measuring_) return absl::OkStatus();
  const TensorPlan& plan = plan_->tensors[tensor];
  for (uint32_t i = 0; i < plan.block_count; ++i) {
    // Blocks of the next version only come once this step's gradients are sent.
    while (!ended() && !awaited_->weights.taken(plan.first_block + i)) {
      const absl::Time begin = clock_.Now();
      const uint64_t before = times_.decode_ns() + times_.apply_ns();
      options_.handle_next_event();
      const uint64_t spent = Nanoseconds(clock_.Now() - begin);
      const uint64_t worked = times_.decode_ns() + times_.apply_ns() - before;
      times_.set_wait_ns(times_.wait_ns() + spent - std::min(spent, worked));
    }
  }
  return ended() ? *result_ : absl::OkStatus();
}

absl::Status WorkerSession::OnVersion() {
  const uint64_t version = awaited_->weights.version();
  if (version > first_version_) FinishStepTimes();
  ForgetSent(version);
  if (!timeline_.EvaluatesAt(version)) return Proceed();
  evaluating_ = true;
  TERSE_RETURN_IF_ERROR(PushBuffers(wire::BUFFERS, version));
  return EvaluateIfComplete();
}

absl::Status WorkerSession::PushBuffers(wire::FrameKind kind,
                                        uint64_t version) {
  for (uint32_t t = 0; t < plan_->tensors.size(); ++t) {
    if (!plan_->IsBuffer(t)) continue;
    TERSE_RETURN_IF_ERROR(
        uplink_->PushBuffer(kind, version, t, model_->Values(t)));
  }
  return absl::OkStatus();
}

absl::Status WorkerSession::Proceed() {
  const uint64_t version = awaited_->weights.version();
  if (checkpoints_.erase(version) > 0) {
    TERSE_RETURN_IF_ERROR(SendKept(version));
  }
  if (version >= timeline_.steps_total) return SayGoodbye();
  if (IsBehind()) return SkipStep(version);
  if (ended()) return absl::OkStatus();
  return ComputeStep(version);
}

absl::Status WorkerSession::ReportStep(uint64_t step, const LossSums& sums) {
  wire::StepReport report;
  report.set_samples(sums.samples);
  report.set_loss_sum(sums.loss);
  report.set_correct(sums.correct);
  *report.mutable_times() = last_times_;
  report.set_barrier(!plan_->lockstep && checkpoints_.contains(step + 1));
  const LinkCounters counters = Counters();
  report.set_bytes_sent(counters.bytes_sent);
  report.set_bytes_received(counters.bytes_received);
  const std::optional<double> ratio = uplink_->ResidualNormRatio();
  if (ratio) report.set_residual_norm_ratio(*ratio);
  step_record_ = {.step = step,
                  .samples = sums.samples,
                  .loss_sum = sums.loss,
                  .residual_norm_ratio = ratio};
  absl::Status sent;
  for (uint32_t s = 0; s < shards_.size(); ++s) {
    sent.Update(SendToShard(s, MakeMessage(wire::STEP, report, step)));
  }
  return sent;
}

absl::Status WorkerSession::ComputeStep(uint64_t step) {
  step_started_ = clock_.Now();
  times_.Clear();
  computing_ = true;
  step_open_ = true;
  encode_ = absl::ZeroDuration();
  absl::Status reported;
  std::optional<TensorObserver> observer;
  if (*rank_ == 0 && timeline_.ObservesStep(step)) observer.emplace(*plan_);
  uplink_->Observe(observer ? &*observer : nullptr);
  const auto on_loss = [&](const LossSums& sums) {
    // The forward pass has read every weight.
    if (!awaited_->weights.complete()) {
      reported = absl::InternalError("a step ended without all its weights");
      return;
    }
    ForgetSent(step);
    awaited_->weights.Await(step + 1);
    reported = ReportStep(step, sums);
    // In front of the gradients: whoever has these has them.
    if (SharesStatistics(*job_, *plan_)) {
      reported.Update(PushBuffers(wire::STATISTICS, step + 1));
    }
  };
  const auto on_gradient = [&](uint32_t tensor,
                               std::span<const float> gradient) {
    const absl::Status pushed =
        Encode([&] { return uplink_->Push(step, tensor, gradient); });
    if (observer) {
      observer->OnTensor(tensor, gradient, uplink_->Residual(tensor),
                         model_->Values(tensor));
    }
    return pushed;
  };
  computed_step_ = step;
  const absl::Status computed =
      model_->ComputeGradient(step, on_loss, on_gradient);
  computing_ = false;
  uplink_->Observe(nullptr);
  if (ended()) return absl::OkStatus();
  TERSE_RETURN_IF_ERROR(reported);
  TERSE_RETURN_IF_ERROR(computed);
  if (observer) {
    TERSE_RETURN_IF_ERROR(SendToShard(
        0, MakeMessage(wire::OBSERVATION, observer->observation(), step)));
  }
  pushed_ = clock_.Now();
  taken_before_push_ns_ = times_.decode_ns() + times_.apply_ns();
  times_.set_encode_ns(Nanoseconds(encode_));
  times_.set_compute_ns(
      Nanoseconds(pushed_ - step_started_ - encode_ -
                  absl::Nanoseconds(taken_before_push_ns_ + times_.wait_ns())));
  return absl::OkStatus();
}

void WorkerSession::FinishStepTimes() {
  if (!std::exchange(step_open_, false)) return;  // It was left out.
  const absl::Time now = clock_.Now();
  times_.set_total_ns(Nanoseconds(now - step_started_));
  const uint64_t taken_ns =
      times_.decode_ns() + times_.apply_ns() - taken_before_push_ns_;
  times_.set_wait_ns(times_.wait_ns() +
                     Nanoseconds(now - pushed_ - absl::Nanoseconds(taken_ns)));
  step_ns_.push_back(times_.total_ns());
  Accumulate(times_, times_total_);
  last_times_ = times_;
  step_record_.times = times_;
  if (options_.on_step) options_.on_step(step_record_);
}

void WorkerSession::End(const absl::Status& result, std::optional<PeerId> but) {
  result_ = result;
  // A job under way does not end with one who could not come to it.
  const bool tells = goes_on_ || (!result.ok() && !(under_way_ && !started_));
  // They leave when all has gone out; see OnPeerLost.
  for (const auto& [peer, shard] : peers_) {
    if (tells && peer != but) {
      link_.Send(peer, goes_on_ ? MakeRejoin() : MakeAbort(result))
          .IgnoreError();
    }
    link_.Close(peer);
  }
}

void WorkerSession::Abort(const absl::Status& reason) {
  if (ended()) return;
  spdlog::error("the job ends: {}", std::string(reason.message()));
  End(reason, std::nullopt);
}

void WorkerSession::OnTime() {
  if (started_) CheckDeadlines();
  if (ended() || started_ || clock_.Now() < join_deadline_) return;
  Abort(absl::DeadlineExceededError(absl::StrCat(
      "the job at ", options_.coordinator_address, " did not start within ",
      absl::FormatDuration(options_.join_timeout))));
}

}  // namespace terse
