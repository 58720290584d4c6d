// How a worker evaluates its part of the test set and takes its leave; the rest
// of WorkerSession is in session.cc.
#include <algorithm>
#include <utility>

#include "common/base/status.h"
#include "common/wire/messages.h"
#include "spdlog/spdlog.h"
#include "worker/session.h"

namespace terse {

absl::Status WorkerSession::OnEvaluationBlock(const Frame& frame) {
  if (!started_) {
    if (!awaited_ || early_evaluation_.size() >= plan_->blocks.size()) {
      return absl::InvalidArgumentError("evaluation before start");
    }
    early_evaluation_.push_back(frame);
    return absl::OkStatus();
  }
  BlockSet& set =
      frame.type == wire::MEAN_BUFFERS ? awaited_->buffers : awaited_->shadows;
  if (!IsDue(set, frame)) return absl::OkStatus();
  // The set is told its version with the first block, which may come before
  // the weights of that version are complete.
  if (set.version() < frame.step && timeline_.EvaluatesAt(frame.step)) {
    set.Await(frame.step);
  }
  TERSE_RETURN_IF_ERROR(set.Take(frame.step, frame.block));
  const uint32_t tensor = plan_->blocks[frame.block].tensor;
  std::vector<float>& values = evaluation_values_[tensor];
  values.resize(ElementCount(plan_->model.tensors[tensor].shape));
  TERSE_RETURN_IF_ERROR(
      DecodeFloats(*plan_, frame.block, frame.payload, values));
  return EvaluateIfComplete();
}

absl::Status WorkerSession::TakeEarlyBlocks() {
  for (const Frame& frame : std::exchange(early_evaluation_, {})) {
    TERSE_RETURN_IF_ERROR(OnEvaluationBlock(frame));
  }
  return OnBlockTaken();
}

absl::Status WorkerSession::EvaluateIfComplete() {
  if (!evaluating_) return absl::OkStatus();
  const uint64_t version = awaited_->weights.version();
  for (BlockSet* set : {&awaited_->buffers, &awaited_->shadows}) {
    if (set->version() < version) set->Await(version);
    if (!set->complete()) return absl::OkStatus();
  }
  evaluating_ = false;
  TERSE_RETURN_IF_ERROR(RunEvaluation());
  return Proceed();
}

absl::Status WorkerSession::RunEvaluation() {
  // Training goes on with the worker's own statistics and with the codes: the
  // evaluation leaves no trace.
  const auto swap_values = [this] {
    for (auto& [tensor, values] : evaluation_values_) {
      const std::span<float> current = model_->Values(tensor);
      std::swap_ranges(values.begin(), values.end(), current.begin());
    }
  };
  swap_values();
  const uint64_t samples = model_->test_samples();
  const uint64_t workers = job_->cluster().workers();
  const uint64_t first = *rank_ * samples / workers;
  const uint64_t last = (*rank_ + 1) * samples / workers;
  const absl::StatusOr<LossSums> sums = model_->Evaluate(first, last - first);
  swap_values();
  if (!sums.ok()) return sums.status();
  spdlog::info("step {}: {} of {} test predictions right",
               awaited_->weights.version(), sums->correct,
               sums->samples * plan_->model.predictions);
  wire::EvaluationReport report;
  report.set_loss_sum(sums->loss);
  report.set_correct(sums->correct);
  report.set_samples(sums->samples);
  return SendToShard(
      0, MakeMessage(wire::EVALUATION, report, awaited_->weights.version()));
}

absl::Status WorkerSession::SayGoodbye() {
  wire::Goodbye goodbye;
  *goodbye.mutable_times_total() = times_total_;
  goodbye.set_steps(step_ns_.size());
  if (!step_ns_.empty()) {
    const auto middle = step_ns_.begin() + step_ns_.size() / 2;
    std::nth_element(step_ns_.begin(), middle, step_ns_.end());
    goodbye.set_step_p50_ns(*middle);
  }
  const LinkCounters counters = Counters();
  goodbye.set_bytes_sent(counters.bytes_sent);
  goodbye.set_bytes_received(counters.bytes_received);
  for (uint32_t s = 0; s < shards_.size(); ++s) {
    TERSE_RETURN_IF_ERROR(SendToShard(s, MakeMessage(wire::GOODBYE, goodbye)));
  }
  return absl::OkStatus();
}

}  // namespace terse
