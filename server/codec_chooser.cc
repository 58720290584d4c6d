#include "server/codec_chooser.h"

#include <algorithm>
#include <limits>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/config/job.h"
#include "common/cost/candidates.h"
#include "common/plan/plan.h"
#include "common/wire/messages.h"

namespace terse {
namespace {

constexpr uint32_t kRoundTrips = 3;
// A stream lasts as long as this or has so many probes: buffers on the way make
// short ones look fast.
constexpr absl::Duration kStreamTime = absl::Milliseconds(60);
constexpr uint32_t kStreamProbesMax = 128;

StepWork WorkOf(const wire::MeasuredWork& work,
                const std::vector<double>& shares) {
  return {.encode_ms = work.encode_ms(),
          .add_ms = work.add_ms(),
          .close_ms = work.close_ms(),
          .decode_ms = work.decode_ms(),
          .bytes_up = work.bytes_up(),
          .bytes_down = work.bytes_down(),
          .blocks = std::max(1u, work.blocks()),
          .two_exchanges = work.two_exchanges(),
          .shares = shares};
}

}  // namespace

CodecChooser::CodecChooser(const Job& job, std::vector<double> shares,
                           std::shared_ptr<CodecRates> rates, Output output)
    : job_(job),
      shares_(std::move(shares)),
      candidates_(Candidates(job)),
      rates_(std::move(rates)),
      output_(std::move(output)),
      ready_(job.cluster().workers()) {}

void CodecChooser::OnReady(uint32_t worker, const wire::Ready& ready) {
  ready_[worker] = ready;
}

void CodecChooser::Begin(absl::Time now, bool compute) {
  found_ = rates_->machine;
  found_.link_gbit = std::numeric_limits<double>::infinity();
  found_.round_trip_ms = 0;
  processor_seconds_ = processor_bytes_ = 0;
  if (!rates_->work.empty()) {
    StartWorker(now, 0);
    return;
  }
  phase_ = Phase::kMeasuring;
  wire::Measure measure;
  measure.set_compute(compute);
  for (const GradientCodec& candidate : candidates_) {
    measure.add_gradients(candidate.SerializeAsString());
  }
  output_.send(0, MakeMessage(wire::MEASURE, measure));
}

void CodecChooser::SetCompute(const wire::StepTimes& times) {
  if (rates_->compute.backward_ms > 0) return;
  // Of a layer's three matrix products backward makes two.
  const double compute_ms = static_cast<double>(times.compute_ns()) * 1e-6;
  rates_->compute = {.forward_ms = compute_ms / 3,
                     .backward_ms = compute_ms * 2 / 3};
}

absl::Status CodecChooser::OnMeasured(absl::Time now, uint32_t worker,
                                      const wire::Measured& measured) {
  if (phase_ != Phase::kMeasuring || worker != 0 ||
      measured.work_size() != static_cast<int>(candidates_.size())) {
    return absl::InvalidArgumentError("a measurement nobody asked for");
  }
  for (const wire::MeasuredWork& work : measured.work()) {
    rates_->work.push_back(WorkOf(work, shares_));
  }
  if (measured.backward_ms() > 0) {
    rates_->compute = {.forward_ms = measured.forward_ms(),
                       .backward_ms = measured.backward_ms()};
  }
  StartWorker(now, 0);
  return absl::OkStatus();
}

void CodecChooser::StartWorker(absl::Time now, uint32_t worker) {
  worker_ = worker;
  rounds_ = 0;
  round_trip_ms_ = std::numeric_limits<double>::infinity();
  stream_ = 0;
  phase_ = Phase::kRoundTrip;
  SendProbes(now, 1, 0);
}

void CodecChooser::SendProbes(absl::Time now, uint32_t count, size_t bytes) {
  sent_ = now;
  probes_ = count;
  if (output_.processor_seconds) {
    processor_begin_ = output_.processor_seconds();
  }
  const Buffer payload =
      Buffer::CopyOf(std::vector<std::byte>(bytes, std::byte{}));
  for (uint32_t i = 0; i < count; ++i) {
    output_.send(worker_, MakeFrame(wire::PROBE, 0, 0, payload));
  }
}

absl::Status CodecChooser::OnProbe(absl::Time now, uint32_t worker,
                                   const Frame& frame) {
  const size_t expected = phase_ == Phase::kStream ? kProbeBytes : 0;
  if ((phase_ != Phase::kRoundTrip && phase_ != Phase::kStream) ||
      worker != worker_ || probes_ == 0 || frame.payload.size() != expected) {
    return absl::InvalidArgumentError("a probe nobody asked for");
  }
  if (--probes_ > 0) return absl::OkStatus();
  if (phase_ == Phase::kStream) {
    FinishStream(now);
    return absl::OkStatus();
  }
  const double round_trip_ms = absl::ToDoubleMilliseconds(now - sent_);
  round_trip_ms_ = std::min(round_trip_ms_, round_trip_ms);
  if (++rounds_ < kRoundTrips) {
    SendProbes(now, 1, 0);
    return absl::OkStatus();
  }
  found_.round_trip_ms = std::max(found_.round_trip_ms, round_trip_ms_);
  phase_ = Phase::kStream;
  stream_ = 1;
  SendProbes(now, stream_, kProbeBytes);
  return absl::OkStatus();
}

void CodecChooser::FinishStream(absl::Time now) {
  const absl::Duration took = now - sent_;
  const double bytes = static_cast<double>(stream_) * kProbeBytes;
  if (output_.processor_seconds) {
    processor_seconds_ += output_.processor_seconds() - processor_begin_;
    processor_bytes_ += 2 * bytes;
  }
  if (took < kStreamTime && stream_ < kStreamProbesMax) {
    stream_ *= 2;
    SendProbes(now, stream_, kProbeBytes);
    return;
  }
  const double seconds =
      std::max(1e-9, absl::ToDoubleSeconds(took) - 1e-3 * round_trip_ms_);
  found_.link_gbit = std::min(found_.link_gbit, bytes * 8e-9 / seconds);
  if (worker_ + 1 < ready_.size()) {
    StartWorker(now, worker_ + 1);
    return;
  }
  if (processor_bytes_ > 0 && processor_seconds_ > 0) {
    found_.wire_ns_per_byte = processor_seconds_ * 1e9 / processor_bytes_;
  }
  // Workers that share a machine share its cores.
  std::map<std::string, double> workers_of;
  double cores = std::numeric_limits<double>::infinity();
  for (const wire::Ready& ready : ready_) ++workers_of[ready.host()];
  for (const wire::Ready& ready : ready_) {
    cores =
        std::min(cores, std::max(1u, ready.cores()) / workers_of[ready.host()]);
  }
  found_.cores = std::max(1.0, cores);
  rates_->machine = found_;
  phase_ = Phase::kIdle;
  const std::vector<StepCost> costs = Predict();
  const auto best = std::min_element(costs.begin(), costs.end(),
                                     [](const StepCost& a, const StepCost& b) {
                                       return a.step_ms < b.step_ms;
                                     });
  output_.chosen(static_cast<size_t>(best - costs.begin()));
}

std::vector<StepCost> CodecChooser::Predict() const {
  const Layout layout = {.workers = job_.cluster().workers(),
                         .servers = ServerCount(job_),
                         .shared_hosts = true};
  std::vector<StepCost> costs;
  for (const StepWork& work : rates_->work) {
    costs.push_back(
        PredictStep(work, rates_->compute, rates_->machine, layout));
  }
  return costs;
}

nlohmann::json CodecChooser::Describe(size_t chosen) const {
  const std::vector<StepCost> costs = Predict();
  nlohmann::json rows = nlohmann::json::array();
  for (size_t i = 0; i < costs.size(); ++i) {
    rows.push_back({{"codec", PrintCodec(candidates_[i])},
                    {"step_ms", costs[i].step_ms},
                    {"bound", BoundOf(costs[i])}});
  }
  return {{"codec", PrintCodec(candidates_[chosen])},
          {"link_gbit", rates_->machine.link_gbit},
          {"round_trip_ms", rates_->machine.round_trip_ms},
          {"wire_ns_per_byte", rates_->machine.wire_ns_per_byte},
          {"forward_ms", rates_->compute.forward_ms},
          {"backward_ms", rates_->compute.backward_ms},
          {"candidates", std::move(rows)}};
}

std::vector<std::string> CodecChooser::Lines(size_t chosen) const {
  const std::vector<StepCost> costs = Predict();
  const Layout layout = {.workers = job_.cluster().workers(),
                         .servers = ServerCount(job_)};
  std::vector<std::string> lines = {absl::StrFormat(
      "auto: links of %.3g Gbit/s, %.3g ms there and back; forward %.1f ms, "
      "backward %.1f ms",
      rates_->machine.link_gbit, rates_->machine.round_trip_ms,
      rates_->compute.forward_ms, rates_->compute.backward_ms)};
  const auto pays = [&](size_t i, size_t other) -> std::string {
    const std::optional<double> below =
        PaysBelowGbit(rates_->work[i], rates_->work[other], rates_->compute,
                      rates_->machine, layout);
    if (!below) return "never";
    return *below > 1e4 ? "always" : absl::StrFormat("below %.3g", *below);
  };
  for (size_t i = 0; i < costs.size(); ++i) {
    std::string line = absl::StrFormat(
        "auto:%s %s: %.2f MB up, %.2f MB down, a step of %.1f ms (%s)",
        i == chosen ? " *" : "", PrintCodec(candidates_[i]),
        static_cast<double>(rates_->work[i].bytes_up) * 1e-6,
        static_cast<double>(rates_->work[i].bytes_down) * 1e-6,
        costs[i].step_ms, BoundOf(costs[i]));
    for (size_t other = 0; other < costs.size(); ++other) {
      const GradientCodec::Kind kind = candidates_[other].kind();
      if (other == i ||
          (kind != GradientCodec::NONE && kind != GradientCodec::FP16)) {
        continue;
      }
      absl::StrAppend(&line, "; pays against ",
                      kind == GradientCodec::NONE ? "fp32" : "fp16", " ",
                      pays(i, other));
    }
    lines.push_back(std::move(line));
  }
  return lines;
}

}  // namespace terse
