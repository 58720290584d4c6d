// What a worker does for codecs beside sending gradients; the rest of
// WorkerSession is in session.cc.
#include "absl/time/time.h"
#include "common/base/status.h"
#include "common/cost/candidates.h"
#include "common/wire/messages.h"
#include "worker/measure_compute.h"
#include "worker/session.h"

namespace terse {

absl::Status WorkerSession::Encode(absl::FunctionRef<absl::Status()> push) {
  const absl::Time begin = clock_.Now();
  const absl::Status pushed = push();
  encode_ += clock_.Now() - begin;
  return pushed;
}

absl::Status WorkerSession::OnBasis(const Frame& frame) {
  if (!started_) return absl::InvalidArgumentError("a basis before the start");
  if (frame.block < factor_steps_.size() && Returns() &&
      frame.step < factor_steps_[frame.block]) {
    return absl::OkStatus();  // Sent again to who was away.
  }
  const absl::Time begin = clock_.Now();
  const absl::Status pushed =
      uplink_->PushFactor(frame.step, frame.block, frame.payload.bytes());
  if (pushed.ok()) factor_steps_[frame.block] = frame.step + 1;
  times_.set_decode_ns(times_.decode_ns() +
                       absl::ToInt64Nanoseconds(clock_.Now() - begin));
  return pushed;
}

absl::Status WorkerSession::OnMeasure(const Frame& frame) {
  TERSE_ASSIGN_OR_RETURN(const auto measure,
                         ParseMessage<wire::Measure>(frame));
  if (!model_ || !options_.measure_work || (started_ && measure.compute())) {
    return absl::InvalidArgumentError("nothing can be measured now");
  }
  wire::Measured measured;
  for (const std::string& bytes : measure.gradients()) {
    GradientCodec gradient;
    if (!gradient.ParseFromString(bytes)) {
      return absl::DataLossError("to measure: no codec");
    }
    TERSE_ASSIGN_OR_RETURN(
        const StepWork work,
        options_.measure_work(WithGradient(*job_, gradient)));
    wire::MeasuredWork& to = *measured.add_work();
    to.set_encode_ms(work.encode_ms);
    to.set_add_ms(work.add_ms);
    to.set_close_ms(work.close_ms);
    to.set_decode_ms(work.decode_ms);
    to.set_bytes_up(work.bytes_up);
    to.set_bytes_down(work.bytes_down);
    to.set_blocks(work.blocks);
    to.set_two_exchanges(work.two_exchanges);
  }
  if (measure.compute()) {
    measuring_ = true;
    const absl::StatusOr<ComputeTime> compute =
        MeasureCompute(*job_, *plan_, *model_);
    measuring_ = false;
    TERSE_RETURN_IF_ERROR(compute.status());
    measured.set_forward_ms(compute->forward_ms);
    measured.set_backward_ms(compute->backward_ms);
  }
  return SendToShard(0, MakeMessage(wire::MEASURED, measured));
}

LinkCounters WorkerSession::Counters() const {
  LinkCounters counters = link_.Counters();
  counters.bytes_sent -= counters_before_.bytes_sent;
  counters.bytes_received -= counters_before_.bytes_received;
  return counters;
}

}  // namespace terse
