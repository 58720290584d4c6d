// What a coordinator's mirror is sent, and how another process goes on with
// it; the rest of Coordinator is in coordinator.cc.
#include "server/coordinator.h"

namespace terse {
namespace {

// Workers are at one of the last two versions, and a worker that has the next
// one whole does not tell its evaluation again.
constexpr uint64_t kVersionsTold = 3;

}  // namespace

void Coordinator::AddState(absl::Time now, wire::JobState& state) const {
  if (ready_[0]) {
    state.mutable_data()->set_train_samples(ready_[0]->train_samples());
    state.mutable_data()->set_test_samples(ready_[0]->test_samples());
  }
  state.set_elapsed_ns(
      static_cast<uint64_t>(absl::ToInt64Nanoseconds(now - started_)));
  state.set_steps(last_step_);
  state.set_epoch_loss_sum(epoch_.loss);
  state.set_epoch_correct(epoch_.correct);
  state.set_epoch_samples(epoch_.samples);
  state.set_replaced_bytes_sent(replaced_bytes_sent_);
  state.set_replaced_bytes_received(replaced_bytes_received_);
  for (const auto& [version, evaluation] : evaluations_) {
    if (!evaluation.done || version + kVersionsTold < last_step_) continue;
    wire::JobState::Evaluation& told = *state.add_evaluations();
    told.set_version(version);
    for (const auto& part : evaluation.parts) *told.add_parts() = *part;
  }
  for (const auto& [key, statistics] : merged_) {
    wire::JobState::Merged& told = *state.add_merged();
    told.set_version(std::get<0>(key));
    *told.mutable_statistics() = statistics;
  }
}

absl::Status Coordinator::Restore(absl::Time now, const Timeline& timeline,
                                  const wire::JobState& state) {
  if (state.steps() > timeline.steps_total || timeline.steps_per_epoch == 0) {
    return absl::DataLossError("steps were mirrored that no job has");
  }
  timeline_ = timeline;
  for (const wire::JobState::Merged& told : state.merged()) {
    const wire::BlockStatistics& statistics = told.statistics();
    merged_[{told.version(), statistics.kind(), statistics.tensor()}] =
        statistics;
  }
  for (const wire::JobState::Evaluation& told : state.evaluations()) {
    if (told.parts_size() != static_cast<int>(ready_.size())) {
      return absl::DataLossError("an evaluation of another job was mirrored");
    }
    Evaluation& evaluation = evaluations_[told.version()];
    evaluation.parts.assign(told.parts().begin(), told.parts().end());
    CountEvaluation(evaluation);
  }
  for (WorkerProgress& worker : progress_) {
    worker.state = "lost";  // Until it is back.
    worker.steps = state.steps();
  }
  for (auto& ready : ready_) ready = state.data();
  ready_count_ = static_cast<uint32_t>(ready_.size());
  last_step_ = state.steps();
  epoch_ = {.loss = state.epoch_loss_sum(),
            .correct = state.epoch_correct(),
            .samples = state.epoch_samples()};
  replaced_bytes_sent_ = state.replaced_bytes_sent();
  replaced_bytes_received_ = state.replaced_bytes_received();
  OnStart(now);
  started_ = now - absl::Nanoseconds(state.elapsed_ns());
  return absl::OkStatus();
}

}  // namespace terse
