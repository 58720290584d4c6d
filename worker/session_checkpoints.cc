// What a worker gives to checkpoints and takes from them; the rest of
// WorkerSession is in session.cc.
#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/checkpoint/saved_state.h"
#include "common/wire/event_loop.h"
#include "common/wire/messages.h"
#include "worker/session.h"

namespace terse {
namespace {

// The worker's memory of what KeptKinds names, in that order.
std::vector<std::span<float>> KeptSpans(const Plan& plan, uint32_t block,
                                        Uplink& uplink, NetworkModel& model) {
  const BlockSpec& spec = plan.blocks[block];
  std::vector<std::span<float>> spans;
  for (const std::string_view kind : KeptKinds(plan, block)) {
    const std::span<float> values =
        kind == "buffer"     ? model.Values(spec.tensor)
        : kind == "residual" ? uplink.KeptOf(spec.tensor)->residual()
                             : uplink.KeptOf(spec.tensor)->momentum();
    spans.push_back(values.subspan(spec.first_index, spec.count));
  }
  return spans;
}

absl::Status CheckBytes(const Frame& frame, size_t bytes) {
  if (frame.payload.size() == bytes) return absl::OkStatus();
  return absl::DataLossError(absl::StrCat("state of block ", frame.block,
                                          " has ", frame.payload.size(),
                                          " bytes in place of ", bytes));
}

}  // namespace

absl::Status WorkerSession::OnCheckpoint(uint64_t version) {
  // The coordinator has one under way, and the last version.
  if (checkpoints_.size() >= 4) {
    return absl::InvalidArgumentError("too many checkpoints are asked for");
  }
  // Told again to who was away: not what has been sent since.
  if (version >= last_cut_) checkpoints_.insert(version);
  return absl::OkStatus();
}

absl::Status WorkerSession::OnKept(const Frame& frame) {
  if (!awaited_) return absl::InvalidArgumentError("state before the job");
  if (!IsDue(awaited_->kept, frame)) return absl::OkStatus();
  TERSE_RETURN_IF_ERROR(awaited_->kept.Take(frame.step, frame.block));
  const std::vector<std::span<float>> spans =
      KeptSpans(*plan_, frame.block, *uplink_, *model_);
  const size_t bytes = plan_->blocks[frame.block].count * sizeof(float);
  TERSE_RETURN_IF_ERROR(CheckBytes(frame, spans.size() * bytes));
  const std::byte* source = frame.payload.bytes().data();
  for (const std::span<float> span : spans) {
    std::memcpy(span.data(), source, bytes);
    source += bytes;
  }
  return OnBlockTaken();
}

absl::Status WorkerSession::OnState(const Frame& frame) {
  if (!awaited_) return absl::InvalidArgumentError("state before the job");
  if (!IsDue(awaited_->state, frame)) return absl::OkStatus();
  TERSE_RETURN_IF_ERROR(awaited_->state.Take(frame.step, frame.block));
  const std::vector<std::span<float>> spans = replica_->State(frame.block);
  const size_t bytes = plan_->blocks[frame.block].count * sizeof(float);
  TERSE_RETURN_IF_ERROR(CheckBytes(frame, spans.size() * bytes));
  const std::byte* source = frame.payload.bytes().data();
  for (const std::span<float> span : spans) {
    std::memcpy(span.data(), source, bytes);
    source += bytes;
  }
  return OnBlockTaken();
}

absl::Status WorkerSession::SendKept(uint64_t version) {
  last_cut_ = version + 1;
  for (uint32_t b = 0; b < plan_->blocks.size(); ++b) {
    const std::vector<std::span<float>> spans =
        KeptSpans(*plan_, b, *uplink_, *model_);
    if (spans.empty()) continue;
    const size_t bytes = plan_->blocks[b].count * sizeof(float);
    Buffer payload = Buffer::Allocate(spans.size() * bytes);
    std::byte* target = payload.mutable_bytes().data();
    for (const std::span<float> span : spans) {
      std::memcpy(target, span.data(), bytes);
      target += bytes;
    }
    TERSE_RETURN_IF_ERROR(
        SendToShard(plan_->blocks[b].shard,
                    MakeFrame(wire::KEPT, version, b, std::move(payload))));
  }
  for (uint32_t s = 0; s < shards_.size(); ++s) {
    TERSE_RETURN_IF_ERROR(
        SendToShard(s, MakeFrame(wire::CUT, version, 0, Buffer())));
  }
  return absl::OkStatus();
}

void WorkerSession::CheckDeadlines() {
  if (ended()) return;
  const absl::Time now = clock_.Now();
  if (stop_signal_ != 0 && now >= stop_deadline_) {
    Abort(StoppedStatus(stop_signal_));
    return;
  }
  const uint64_t version = awaited_->weights.version();
  // How many steps others may have to make until this worker gets it.
  const Cluster& cluster = job_->cluster();
  uint64_t steps = 1;
  if (cluster.mode() != Cluster::BSP) {
    steps = std::max<uint64_t>(1, version - first_version_);
  }
  if (cluster.mode() == Cluster::SSP) {
    steps = std::min<uint64_t>(steps, cluster.staleness_steps_max() + 1);
  }
  const uint64_t seconds = steps * cluster.step_timeout_seconds();
  // The servers, who know more, speak first.
  if (seconds == 0 || computing_ ||
      now - pushed_ < absl::Seconds(seconds) + 2 * kStopTimeout) {
    return;
  }
  Abort(WithExitCode(
      absl::DeadlineExceededError(absl::StrCat(
          "version ", version, " of the weights has not come ", "within ",
          seconds, " s: ", steps, steps == 1 ? " time" : " times",
          " cluster.step_timeout_seconds")),
      ExitCode::kPeerNeverCame));
}

void WorkerSession::Stop(int signal) {
  if (ended() || std::exchange(stop_signal_, signal) != 0) return;
  // Nor can a coordinator be asked that is away.
  if (!started_ || shards_[0].away) {
    Abort(StoppedStatus(signal));
    return;
  }
  stop_deadline_ = clock_.Now() + kStopTimeout;
  wire::Stop stop;
  stop.set_signal(signal);
  const absl::Status sent = SendToShard(0, MakeMessage(wire::STOP, stop));
  if (!sent.ok()) Abort(sent);
}

}  // namespace terse
