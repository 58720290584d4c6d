// What the coordinator tells of a job that runs; the rest of Coordinator is in
// coordinator.cc.
#include "server/events.h"

#include <algorithm>
#include <numbers>

#include "common/optimizer/schedule.h"
#include "server/coordinator.h"

namespace terse {
namespace {

nlohmann::json HistogramJson(const wire::Histogram& histogram) {
  return {{"min", histogram.min()},
          {"max", histogram.max()},
          {"sum", histogram.sum()},
          {"sum_squares", histogram.sum_squares()},
          {"counts", histogram.counts()}};
}

}  // namespace

void AddTimes(const wire::StepTimes& times, wire::StepTimes& sums) {
  sums.set_total_ns(sums.total_ns() + times.total_ns());
  sums.set_compute_ns(sums.compute_ns() + times.compute_ns());
  sums.set_encode_ns(sums.encode_ns() + times.encode_ns());
  sums.set_wait_ns(sums.wait_ns() + times.wait_ns());
  sums.set_decode_ns(sums.decode_ns() + times.decode_ns());
  sums.set_apply_ns(sums.apply_ns() + times.apply_ns());
}

nlohmann::json MeanTimes(const wire::StepTimes& sums, double steps) {
  const auto mean = [steps](uint64_t ns) {
    return Milliseconds(Ratio(static_cast<double>(ns), steps));
  };
  return {
      {"total", mean(sums.total_ns())},   {"compute", mean(sums.compute_ns())},
      {"encode", mean(sums.encode_ns())}, {"wait", mean(sums.wait_ns())},
      {"decode", mean(sums.decode_ns())}, {"apply", mean(sums.apply_ns())}};
}

void Coordinator::AddBitsPerCharacter(const std::string& part,
                                      nlohmann::json& record) const {
  if (job_.data().kind() != Data::TEXT ||
      job_.model().loss() != Model::CROSS_ENTROPY) {
    return;
  }
  record[part + "_bits_per_character"] =
      record[part + "_loss"].get<double>() / std::numbers::ln2;
}

void Coordinator::EmitProgress(absl::Time now) {
  progress_emitted_ = now;
  uint64_t up = replaced_bytes_sent_;
  uint64_t down = replaced_bytes_received_;
  for (uint64_t bytes : bytes_sent_) up += bytes;
  for (uint64_t bytes : bytes_received_) down += bytes;
  const double seconds = absl::ToDoubleSeconds(now - started_);
  // A worker counts its bytes when it reports step t, before it sends step t's.
  const uint64_t steps = last_step_ - first_version_;
  const uint64_t steps_counted = std::max<uint64_t>(steps, 2) - 1;
  nlohmann::json event = {
      {"event", "progress"},
      {"seconds", seconds},
      {"step", last_step_},
      {"epoch", Ratio(last_step_, timeline_.steps_per_epoch)},
      {"train_loss", Ratio(window_.loss, window_.samples)},
      {"train_accuracy",
       Ratio(window_.correct, window_.samples * plan_.model.predictions)},
      {"learning_rate",
       LearningRate(job_.optimizer(), std::max<uint64_t>(last_step_, 1) - 1,
                    timeline_.steps_total, timeline_.steps_per_epoch)},
      {"steps_per_second", Ratio(steps, seconds)},
      {"wire_bytes_up", up},
      {"wire_bytes_down", down},
      {"bits_per_element_up", BitsPerElement(up, steps_counted)},
      {"bits_per_element_down", BitsPerElement(down, steps)}};
  if (const auto ratio = ResidualNormRatio()) {
    event["residual_norm_ratio"] = *ratio;
  }
  if (window_reports_ > 0) {
    event["time_ms"] = MeanTimes(window_times_, window_reports_);
  }
  AddBitsPerCharacter("train", event);
  on_event_(event);
  window_ = {};
  window_times_.Clear();
  window_reports_ = 0;
}

void Coordinator::EmitWorkers(absl::Time now) {
  const double window = absl::ToDoubleSeconds(now - workers_emitted_);
  workers_emitted_ = now;
  uint64_t ahead = 0;
  for (const WorkerProgress& worker : progress_) {
    ahead = std::max(ahead, worker.steps);
  }
  nlohmann::json workers = nlohmann::json::array();
  for (uint32_t w = 0; w < progress_.size(); ++w) {
    WorkerProgress& worker = progress_[w];
    workers.push_back(
        {{"rank", w},
         {"state", worker.state},
         {"step", worker.steps},
         {"lag_steps", ahead - worker.steps},
         {"samples_per_second",
          Ratio(static_cast<double>(worker.window_samples), window)},
         {"wire_bytes_up", bytes_sent_[w]},
         {"wire_bytes_down", bytes_received_[w]},
         {"time_ms", MeanTimes(worker.times, 1)}});
    worker.window_samples = 0;
  }
  on_event_({{"event", "workers"},
             {"seconds", absl::ToDoubleSeconds(now - started_)},
             {"workers", std::move(workers)}});
}

nlohmann::json Coordinator::TensorsJson() const {
  nlohmann::json tensors = nlohmann::json::array();
  for (size_t t = 0; t < plan_.tensors.size(); ++t) {
    if (plan_.IsBuffer(t)) continue;
    const TensorPlan& tensor = plan_.tensors[t];
    const TensorSpec& spec = plan_.model.tensors[t];
    tensors.push_back(
        {{"name", spec.name},
         {"shape", spec.shape},
         {"elements", ElementCount(spec.shape)},
         {"codec", tensor.codec->Describe()},
         {"error_feedback", tensor.error_feedback},
         {"quantizer",
          tensor.quantizer == nullptr ? "fp32" : tensor.quantizer->Describe()},
         {"down", tensor.quantizer != nullptr ? "codes"
                  : tensor.sum_down           ? "sum"
                                              : "weights"},
         {"shard", plan_.blocks[tensor.first_block].shard}});
  }
  return tensors;
}

void Coordinator::OnObservation(uint64_t step,
                                const wire::Observation& observation) {
  nlohmann::json tensors = nlohmann::json::array();
  for (const wire::TensorObservation& seen : observation.tensors()) {
    const TensorSpec& spec = plan_.model.tensors[seen.tensor()];
    nlohmann::json tensor = {{"name", spec.name}};
    const auto add = [&tensor](const char* key, const wire::Histogram& of) {
      if (of.counts_size() > 0) tensor[key] = HistogramJson(of);
    };
    add("gradient", seen.gradient());
    add("sent", seen.sent());
    add("residual", seen.residual());
    add("weights", seen.weights());
    add("shadow_weights", seen.shadow_weights());
    if (seen.payload_bytes() > 0) {
      tensor["bits_per_element"] =
          8.0 * static_cast<double>(seen.payload_bytes()) /
          static_cast<double>(ElementCount(spec.shape));
    }
    if (seen.has_entropy_bits()) tensor["entropy_bits"] = seen.entropy_bits();
    tensors.push_back(std::move(tensor));
  }
  on_event_({{"event", "observation"},
             {"step", step},
             {"tensors", std::move(tensors)}});
}

}  // namespace terse
