#include "common/observe/prometheus/role_metrics.h"

#include <mutex>
#include <utility>

#include "absl/time/clock.h"
#include "common/observe/revision.h"
#include "prometheus/counter.h"
#include "prometheus/gauge.h"
#include "prometheus/histogram.h"
#include "prometheus/registry.h"
#include "prometheus/text_serializer.h"

namespace terse {
namespace {

using prometheus::Counter;
using prometheus::Gauge;
using prometheus::Histogram;
using prometheus::Labels;
using prometheus::Registry;

// 100 us to 105 s, by factors of 4: a block of a small network and a step of
// a large one.
const Histogram::BucketBoundaries kSecondsBuckets = {
    1e-4,   4e-4,   1.6e-3, 6.4e-3, 0.0256, 0.1024,
    0.4096, 1.6384, 6.5536, 26.2,   104.9};

constexpr const char* kWorkerStates[] = {"joining", "ready", "training",
                                         "finished", "lost"};

double Seconds(uint64_t ns) { return static_cast<double>(ns) / 1e9; }

// Sets a counter to a total that somebody else counts.
void SetTotal(Counter& counter, uint64_t total) {
  const double grown = static_cast<double>(total) - counter.Value();
  if (grown > 0) counter.Increment(grown);
}

double Number(const nlohmann::json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_number() ? found->get<double>() : 0;
}

// The state of a worker that `event` tells of; null if it tells of none.
const char* StateAfter(const nlohmann::json& event) {
  if (event.value("role", "") != "worker") return nullptr;
  const std::string kind = event.value("event", "");
  if (kind == "joined") return "joining";
  if (kind == "ready") return "ready";
  if (kind == "goodbye") return "finished";
  return kind == "lost" ? "lost" : nullptr;
}

}  // namespace

class RoleMetrics::Families {
 public:
  Gauge& AddGauge(const char* name, const char* help, const Labels& labels) {
    return prometheus::BuildGauge()
        .Name(name)
        .Help(help)
        .Register(registry)
        .Add(labels);
  }
  Counter& AddCounter(const char* name, const char* help,
                      const Labels& labels) {
    return prometheus::BuildCounter()
        .Name(name)
        .Help(help)
        .Register(registry)
        .Add(labels);
  }
  Histogram& AddHistogram(const char* name, const char* help) {
    return prometheus::BuildHistogram()
        .Name(name)
        .Help(help)
        .Register(registry)
        .Add({}, kSecondsBuckets);
  }

  void AddWorkerFamilies();
  void AddCoordinatorFamilies();
  void SetWorkers(const nlohmann::json& workers);
  void SetState(uint32_t worker, const std::string& state);
  void CountStates();

  Registry registry;
  std::mutex mutex;  // Of what is created while the job runs.

  Counter* wire_up = nullptr;
  Counter* wire_down = nullptr;
  Counter* raw_up = nullptr;
  Counter* raw_down = nullptr;
  Gauge* bits_up = nullptr;
  Gauge* bits_down = nullptr;
  Counter* steps = nullptr;
  Counter* samples = nullptr;
  Gauge* loss = nullptr;
  Gauge* residual = nullptr;
  Histogram* step_seconds = nullptr;
  Histogram* compute_seconds = nullptr;
  Histogram* encode_seconds = nullptr;
  Histogram* wait_seconds = nullptr;
  Histogram* decode_seconds = nullptr;
  Histogram* apply_seconds = nullptr;

  Histogram* frame_seconds = nullptr;
  Gauge* version = nullptr;
  Gauge* connected = nullptr;

  Gauge* job_step = nullptr;
  Gauge* job_steps = nullptr;
  Gauge* train_loss = nullptr;
  Gauge* train_accuracy = nullptr;
  Gauge* test_loss = nullptr;
  Gauge* test_accuracy = nullptr;
  Gauge* learning_rate = nullptr;
  Gauge* steps_per_second = nullptr;
  Gauge* checkpoint_time = nullptr;
  Gauge* checkpoint_step = nullptr;
  Counter* checkpoint_failures = nullptr;
  Gauge* failed = nullptr;
  Gauge* finished = nullptr;
  Gauge* workers_wanted = nullptr;
  std::map<uint32_t, std::string> states;  // By worker.
  prometheus::Family<Gauge>* workers = nullptr;
  prometheus::Family<Gauge>* staleness = nullptr;
};

void RoleMetrics::Families::AddWorkerFamilies() {
  const char* raw = "terse_raw_bytes_total";
  const char* raw_help = "What fp32 gradients and weights would have taken.";
  raw_up = &AddCounter(raw, raw_help, {{"direction", "up"}});
  raw_down = &AddCounter(raw, raw_help, {{"direction", "down"}});
  steps = &AddCounter("terse_steps_total", "Steps this worker has made.", {});
  samples = &AddCounter("terse_samples_total",
                        "Samples this worker has computed on.", {});
  loss = &AddGauge("terse_worker_loss", "Mean loss of the last step.", {});
  residual = &AddGauge("terse_residual_norm_ratio",
                       "Norm of what error feedback holds back over that of "
                       "the gradient.",
                       {});
  step_seconds = &AddHistogram("terse_step_seconds", "Time of a step.");
  compute_seconds =
      &AddHistogram("terse_compute_seconds", "Forward and backward, a step.");
  encode_seconds =
      &AddHistogram("terse_encode_seconds", "Encoding gradients, a step.");
  wait_seconds = &AddHistogram("terse_barrier_wait_seconds",
                               "Waiting for the next weights, a step.");
  decode_seconds =
      &AddHistogram("terse_decode_seconds", "Decoding what came down, a step.");
  apply_seconds =
      &AddHistogram("terse_apply_seconds", "Updating replicas, a step.");
}

void RoleMetrics::Families::AddCoordinatorFamilies() {
  job_step = &AddGauge("terse_job_step", "Steps that all workers made.", {});
  job_steps = &AddGauge("terse_job_steps", "Steps the job will have.", {});
  train_loss = &AddGauge("terse_train_loss", "Mean over the last steps.", {});
  train_accuracy = &AddGauge("terse_train_accuracy_ratio",
                             "Share of right answers in the last steps.", {});
  test_loss = &AddGauge("terse_test_loss", "Of the last evaluation.", {});
  test_accuracy = &AddGauge("terse_test_accuracy_ratio",
                            "Share of right answers on the test set.", {});
  learning_rate = &AddGauge("terse_learning_rate", "Of the last step.", {});
  steps_per_second =
      &AddGauge("terse_steps_per_second", "Over the whole job.", {});
  checkpoint_time =
      &AddGauge("terse_checkpoint_last_success_timestamp_seconds",
                "When the last checkpoint was complete; 0: none yet.", {});
  checkpoint_step =
      &AddGauge("terse_checkpoint_last_success_step",
                "The step whose weights the last checkpoint holds.", {});
  checkpoint_failures =
      &AddCounter("terse_checkpoint_failures_total",
                  "Checkpoints that could not be written.", {});
  failed = &AddGauge("terse_job_failed", "1 once the job has failed.", {});
  finished =
      &AddGauge("terse_job_finished", "1 once the job has ended well.", {});
  workers_wanted =
      &AddGauge("terse_workers_wanted", "Workers the job has.", {});
  workers = &prometheus::BuildGauge()
                 .Name("terse_workers")
                 .Help("Workers by state.")
                 .Register(registry);
  CountStates();
  staleness = &prometheus::BuildGauge()
                   .Name("terse_worker_staleness_steps")
                   .Help("Steps a worker is behind the fastest.")
                   .Register(registry);
}

void RoleMetrics::Families::SetWorkers(const nlohmann::json& list) {
  for (const nlohmann::json& worker : list) {
    const uint32_t rank = worker.value("rank", uint32_t{0});
    states[rank] = worker.value("state", "joining");
    staleness->Add({{"worker", std::to_string(rank)}})
        .Set(Number(worker, "lag_steps"));
  }
  CountStates();
}

void RoleMetrics::Families::SetState(uint32_t worker,
                                     const std::string& state) {
  states[worker] = state;
  CountStates();
}

void RoleMetrics::Families::CountStates() {
  std::map<std::string, double> counts;
  for (const char* state : kWorkerStates) counts[state] = 0;
  for (const auto& [worker, state] : states) counts[state] += 1;
  for (const auto& [state, count] : counts) {
    workers->Add({{"state", state}}).Set(count);
  }
}

RoleMetrics::RoleMetrics(MetricsRole role, const std::string& version,
                         const std::string& kernels)
    : families_(std::make_unique<Families>()) {
  Families& f = *families_;
  const char* role_name = role == MetricsRole::kWorker   ? "worker"
                          : role == MetricsRole::kServer ? "server"
                                                         : "coordinator";
  f.AddGauge("terse_build_info", "What runs here; always 1.",
             {{"version", version},
              {"revision", std::string(kRevision)},
              {"kernels", kernels},
              {"role", role_name}})
      .Set(1);
  const char* wire = "terse_wire_bytes_total";
  const char* wire_help = "Bytes on the wire; up is from workers to servers.";
  f.wire_up = &f.AddCounter(wire, wire_help, {{"direction", "up"}});
  f.wire_down = &f.AddCounter(wire, wire_help, {{"direction", "down"}});
  if (role != MetricsRole::kServer) {
    const char* bits = "terse_bits_per_element";
    const char* bits_help =
        "Bits on the wire a parameter, step and worker; fp32 has 32.";
    f.bits_up = &f.AddGauge(bits, bits_help, {{"direction", "up"}});
    f.bits_down = &f.AddGauge(bits, bits_help, {{"direction", "down"}});
  }
  if (role == MetricsRole::kWorker) {
    f.AddWorkerFamilies();
    return;
  }
  f.frame_seconds = &f.AddHistogram("terse_server_frame_seconds",
                                    "Handling a frame of a worker.");
  f.version =
      &f.AddGauge("terse_weights_version", "Updates this shard has made.", {});
  f.connected = &f.AddGauge("terse_workers_connected",
                            "Workers connected to this shard.", {});
  if (role == MetricsRole::kCoordinator) f.AddCoordinatorFamilies();
}

RoleMetrics::~RoleMetrics() = default;

void RoleMetrics::SetWorkersWanted(uint32_t workers) {
  families_->workers_wanted->Set(workers);
}

void RoleMetrics::OnStep(const StepMetrics& step) {
  Families& f = *families_;
  SetTotal(*f.wire_up, step.wire_bytes_up);
  SetTotal(*f.wire_down, step.wire_bytes_down);
  SetTotal(*f.raw_up, step.raw_bytes);
  SetTotal(*f.raw_down, step.raw_bytes);
  if (step.raw_bytes > 0) {
    const double elements = static_cast<double>(step.raw_bytes) / 32;
    f.bits_up->Set(static_cast<double>(step.wire_bytes_up) / elements);
    f.bits_down->Set(static_cast<double>(step.wire_bytes_down) / elements);
  }
  {
    std::lock_guard lock(f.mutex);
    for (const auto& [codec, bytes] : step.payload_bytes) {
      SetTotal(
          f.AddCounter("terse_push_bytes_total",
                       "Payloads of gradients, by codec.", {{"codec", codec}}),
          bytes);
    }
  }
  f.steps->Increment();
  f.samples->Increment(static_cast<double>(step.samples));
  f.loss->Set(step.loss);
  if (step.residual_norm_ratio) f.residual->Set(*step.residual_norm_ratio);
  f.step_seconds->Observe(Seconds(step.times.total_ns()));
  f.compute_seconds->Observe(Seconds(step.times.compute_ns()));
  f.encode_seconds->Observe(Seconds(step.times.encode_ns()));
  f.wait_seconds->Observe(Seconds(step.times.wait_ns()));
  f.decode_seconds->Observe(Seconds(step.times.decode_ns()));
  f.apply_seconds->Observe(Seconds(step.times.apply_ns()));
}

void RoleMetrics::OnFrame(absl::Duration handled,
                          const std::optional<ShardProgress>& progress) {
  Families& f = *families_;
  f.frame_seconds->Observe(absl::ToDoubleSeconds(handled));
  if (!progress) return;
  SetTotal(*f.wire_up, progress->wire_bytes_up);
  SetTotal(*f.wire_down, progress->wire_bytes_down);
  f.version->Set(static_cast<double>(progress->version));
  f.connected->Set(progress->workers_connected);
}

void RoleMetrics::OnEvent(const nlohmann::json& event, absl::Time now) {
  Families& f = *families_;
  const std::string kind = event.value("event", "");
  if (kind == "start") {
    f.job_steps->Set(Number(event, "steps_total"));
  } else if (kind == "progress") {
    f.job_step->Set(Number(event, "step"));
    f.train_loss->Set(Number(event, "train_loss"));
    f.train_accuracy->Set(Number(event, "train_accuracy"));
    f.learning_rate->Set(Number(event, "learning_rate"));
    f.steps_per_second->Set(Number(event, "steps_per_second"));
    f.bits_up->Set(Number(event, "bits_per_element_up"));
    f.bits_down->Set(Number(event, "bits_per_element_down"));
  } else if (kind == "evaluation") {
    f.test_loss->Set(Number(event, "test_loss"));
    f.test_accuracy->Set(Number(event, "test_accuracy"));
  } else if (kind == "workers") {
    f.SetWorkers(event.at("workers"));
  } else if (const char* state = StateAfter(event)) {
    f.SetState(event.value("rank", uint32_t{0}), state);
  } else if (kind == "checkpoint" && event.contains("error")) {
    f.checkpoint_failures->Increment();
  } else if (kind == "checkpoint") {
    f.checkpoint_time->Set(absl::ToDoubleSeconds(now - absl::UnixEpoch()));
    f.checkpoint_step->Set(Number(event, "step"));
  } else if (kind == "finish") {
    f.finished->Set(1);
  } else if (kind == "abort") {
    f.failed->Set(1);
  }
}

std::string RoleMetrics::Text() const {
  return prometheus::TextSerializer().Serialize(families_->registry.Collect());
}

}  // namespace terse
