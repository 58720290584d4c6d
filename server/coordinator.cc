#include "server/coordinator.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/sha256.h"
#include "common/base/status.h"
#include "common/config/job.h"
#include "server/events.h"

namespace terse {
namespace {

const char* TransportName(Cluster::Transport transport) {
  switch (transport) {
    case Cluster::GRPC:
      return "grpc";
    case Cluster::MEMORY:
      return "memory";
    case Cluster::MPI:
      return "mpi";
  }
  return "";
}

constexpr absl::Duration kProgressInterval = absl::Milliseconds(200);

// 4096 workers are half a megabyte of JSON.
absl::Duration WorkersInterval(size_t workers) {
  return absl::Seconds(1) + absl::Milliseconds(8 * workers);
}

}  // namespace

Coordinator::Coordinator(const Job& job, const Plan& plan,
                         uint64_t first_version,
                         std::function<void(const nlohmann::json&)> on_event)
    : job_(job),
      plan_(plan),
      on_event_(std::move(on_event)),
      parameters_(plan.ParameterCount()),
      first_version_(first_version),
      present_(job.cluster().workers(), true),
      ready_(job.cluster().workers()),
      last_step_(first_version),
      progress_(job.cluster().workers()),
      bytes_sent_(job.cluster().workers()),
      bytes_received_(job.cluster().workers()),
      residual_ratios_(job.cluster().workers()),
      goodbyes_(job.cluster().workers()) {
  digests_wanted_ =
      ScopeOf(plan, wire::BlockStatistics::GRADIENT_NORM, 0).block_count;
}

absl::StatusOr<std::optional<Timeline>> Coordinator::OnReady(
    uint32_t worker, const wire::Ready& ready) {
  for (uint32_t other = 0; other < ready_.size(); ++other) {
    if (ready_[other] &&
        (ready_[other]->train_samples() != ready.train_samples() ||
         ready_[other]->test_samples() != ready.test_samples())) {
      return WithExitCode(absl::InvalidArgumentError(absl::StrCat(
                              "worker ", worker, " has ", ready.train_samples(),
                              " + ", ready.test_samples(), " samples, worker ",
                              other, " has ", ready_[other]->train_samples(),
                              " + ", ready_[other]->test_samples(),
                              ": give all workers the same data")),
                          ExitCode::kBadData);
    }
  }
  if (!ready_[worker]) {
    ++ready_count_;
    progress_[worker].state = "ready";
    on_event_({{"event", "ready"}, {"role", "worker"}, {"rank", worker}});
  }
  ready_[worker] = ready;
  if (ready_count_ < ready_.size()) return std::nullopt;
  timeline_ = MakeTimeline(job_, ready.train_samples());
  if (timeline_.steps_per_epoch == 0) {
    return WithExitCode(
        absl::InvalidArgumentError(absl::StrCat(
            "a step of ", job_.cluster().workers(), " workers takes ",
            uint64_t{job_.train().batch_size()} * job_.cluster().workers(),
            " samples and the training set has ", ready.train_samples(),
            ": lower train.batch_size or cluster.workers")),
        ExitCode::kBadJob);
  }
  return timeline_;
}

void Coordinator::OnJoined(const std::string& role, uint32_t rank) {
  on_event_({{"event", "joined"}, {"role", role}, {"rank", rank}});
}

void Coordinator::OnLost(wire::Join::Role role, uint32_t rank,
                         const std::string& why) {
  const bool worker = role == wire::Join::WORKER;
  if (worker) progress_[rank].state = "lost";
  on_event_({{"event", "lost"},
             {"role", worker ? "worker" : "server"},
             {"rank", rank},
             {"step", last_step_},
             {"reason", why}});
}

void Coordinator::OnAbort(const absl::Status& reason) {
  on_event_({{"event", "abort"}, {"reason", std::string(reason.message())}});
}

void Coordinator::OnStart(absl::Time now) {
  started_ = now;
  workers_emitted_ = now;
  on_event_({{"event", "start"},
             {"first_step", first_version_},
             {"steps_total", timeline_.steps_total},
             {"steps_per_epoch", timeline_.steps_per_epoch},
             {"parameters", parameters_},
             {"workers", job_.cluster().workers()},
             {"servers", ServerCount(job_)},
             {"batch_size", job_.train().batch_size()},
             {"tensors", TensorsJson()}});
}

void Coordinator::OnStepReport(absl::Time now, uint32_t worker, uint64_t step,
                               const wire::StepReport& report) {
  bytes_sent_[worker] = report.bytes_sent();
  bytes_received_[worker] = report.bytes_received();
  if (report.has_residual_norm_ratio()) {
    residual_ratios_[worker] = report.residual_norm_ratio();
  }
  progress_[worker].state = "training";
  progress_[worker].steps = std::max(progress_[worker].steps, step + 1);
  progress_[worker].window_samples += report.samples();
  progress_[worker].times = report.times();
  if (report.times().total_ns() > 0) {
    AddTimes(report.times(), window_times_);
    ++window_reports_;
  }
  if (step < last_step_) return;  // Counted before.
  OpenStep& open = open_steps_[step];
  if (open.parts.empty()) open.parts.resize(ready_.size());
  open.parts[worker] = {report.loss_sum(), report.correct(), report.samples()};
  CloseSteps();
  if (now - progress_emitted_ >= kProgressInterval && window_.samples > 0) {
    EmitProgress(now);
  }
  if (now - workers_emitted_ >= WorkersInterval(progress_.size())) {
    EmitWorkers(now);
  }
}

void Coordinator::CloseSteps() {
  while (!open_steps_.empty()) {
    // A worker that is behind may leave steps out, and is not waited for where
    // the servers do not.
    uint32_t behind = 0;
    for (uint32_t w = 0; w < present_.size(); ++w) {
      behind += present_[w] && progress_[w].steps <= last_step_;
    }
    if (behind > job_.cluster().backup_workers()) return;
    if (last_step_ % timeline_.steps_per_epoch == 0) epoch_ = {};
    for (const LossSums& part : open_steps_.begin()->second.parts) {
      for (LossSums* sums : {&window_, &epoch_}) {
        sums->loss += part.loss;
        sums->correct += part.correct;
        sums->samples += part.samples;
      }
    }
    open_steps_.erase(open_steps_.begin());
    ++last_step_;
    ++changes_;
  }
}

double Coordinator::BitsPerElement(uint64_t bytes, uint64_t steps) const {
  return Ratio(8.0 * static_cast<double>(bytes),
               static_cast<double>(steps) * ready_.size() * parameters_);
}

std::optional<double> Coordinator::ResidualNormRatio() const {
  double sum = 0;
  int workers = 0;
  for (const std::optional<double>& ratio : residual_ratios_) {
    if (!ratio) continue;
    sum += *ratio;
    ++workers;
  }
  if (workers == 0) return std::nullopt;
  return sum / workers;
}

absl::Status Coordinator::OnEvaluation(absl::Time now, uint32_t worker,
                                       uint64_t version,
                                       const wire::EvaluationReport& report) {
  if (!timeline_.EvaluatesAt(version)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "evaluation of version ", version, " which is not evaluated"));
  }
  Evaluation& evaluation = evaluations_[version];
  if (evaluation.parts.empty()) evaluation.parts.resize(ready_.size());
  if (evaluation.done || evaluation.parts[worker]) {
    return absl::OkStatus();  // Counted before.
  }
  evaluation.parts[worker] = report;
  CloseIfComplete(now, version, evaluation);
  return absl::OkStatus();
}

void Coordinator::CloseIfComplete(absl::Time now, uint64_t version,
                                  Evaluation& evaluation) {
  bool any = false;
  for (uint32_t w = 0; w < present_.size(); ++w) {
    if (present_[w] && !evaluation.parts[w]) return;
    any = any || evaluation.parts[w];
  }
  if (!any) return;
  const uint64_t samples = CountEvaluation(evaluation);
  if (window_.samples > 0) EmitProgress(now);
  nlohmann::json event = {{"event", "evaluation"},
                          {"seconds", absl::ToDoubleSeconds(now - started_)},
                          {"step", version},
                          {"epoch", Ratio(version, timeline_.steps_per_epoch)},
                          {"test_samples", samples},
                          {"test_loss", *test_loss_},
                          {"test_accuracy", *test_accuracy_}};
  AddBitsPerCharacter("test", event);
  on_event_(event);
}

uint64_t Coordinator::CountEvaluation(Evaluation& evaluation) {
  evaluation.done = true;
  ++changes_;
  double loss = 0;
  uint64_t correct = 0;
  uint64_t samples = 0;
  for (const auto& part : evaluation.parts) {
    if (!part) continue;
    loss += part->loss_sum();
    correct += part->correct();
    samples += part->samples();
  }
  test_loss_ = Ratio(loss, samples);
  test_accuracy_ = Ratio(correct, samples * plan_.model.predictions);
  return samples;
}

void Coordinator::Leave(absl::Time now, uint32_t worker) {
  present_[worker] = false;
  CloseSteps();
  for (auto& [version, evaluation] : evaluations_) {
    if (!evaluation.done) CloseIfComplete(now, version, evaluation);
  }
}

void Coordinator::OnReturn(uint32_t worker, bool replaced) {
  present_[worker] = true;
  if (replaced) {
    replaced_bytes_sent_ += std::exchange(bytes_sent_[worker], 0);
    replaced_bytes_received_ += std::exchange(bytes_received_[worker], 0);
  }
  OnJoined("worker", worker);
}

absl::Status Coordinator::CheckPart(uint32_t shard, uint64_t current,
                                    uint64_t version,
                                    const wire::BlockStatistics& part) const {
  // Shards make the same version, or are one apart, and tell again what they
  // told last and in the version before; the first one, 0, is made behind none.
  const uint64_t making = current + 1;
  if (version + 3 < making || version > making + 1) {
    return absl::InvalidArgumentError(absl::StrCat("statistics of version ",
                                                   version, " while version ",
                                                   making, " is being made"));
  }
  for (const auto& record : part.records()) {
    if (record.block() >= plan_.blocks.size() ||
        plan_.blocks[record.block()].shard != shard) {
      return absl::InvalidArgumentError(absl::StrCat(
          "statistics of block ", record.block(), ", another shard's"));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::optional<wire::BlockStatistics>> Coordinator::OnReduce(
    uint64_t version, const wire::BlockStatistics& part) {
  if (!wire::BlockStatistics::Kind_IsValid(part.kind()) ||
      part.tensor() >= plan_.tensors.size()) {
    return absl::InvalidArgumentError("statistics of an unknown kind");
  }
  const auto key = std::tuple(version, part.kind(), part.tensor());
  const bool repeats = job_.cluster().replicas() > 0;
  const auto known = merged_.find(key);
  if (known != merged_.end()) return known->second;
  const auto entry =
      reductions_.try_emplace(key, ScopeOf(plan_, part.kind(), part.tensor()));
  Reduction& reduction = entry.first->second;
  for (const auto& record : part.records()) {
    if (repeats && reduction.Has(record.block())) continue;
    TERSE_RETURN_IF_ERROR(reduction.Add(record.block(), FromRecord(record)));
  }
  if (!reduction.complete()) return std::nullopt;
  wire::BlockStatistics merged;
  merged.set_kind(part.kind());
  merged.set_tensor(part.tensor());
  *merged.add_records() = ToRecord(0, reduction.Merged());
  reductions_.erase(key);
  if (repeats) {
    // Shards are a version apart at most.
    const std::tuple oldest(version - std::min<uint64_t>(version, 2),
                            StatisticsKind(), uint32_t{0});
    merged_.erase(merged_.begin(), merged_.lower_bound(oldest));
    reductions_.erase(reductions_.begin(), reductions_.lower_bound(oldest));
    merged_[key] = merged;
    ++changes_;
  }
  return merged;
}

bool Coordinator::HasReported(uint32_t worker, uint64_t step) const {
  if (step < last_step_ || !present_[worker]) return true;
  const auto found = open_steps_.find(step);
  return found != open_steps_.end() && found->second.parts[worker].samples > 0;
}

std::optional<double> Coordinator::AccuracyOf(uint64_t version) const {
  const auto found = evaluations_.find(version);
  if (found == evaluations_.end() || !found->second.done) return std::nullopt;
  uint64_t correct = 0;
  uint64_t samples = 0;
  for (const auto& part : found->second.parts) {
    if (!part) continue;
    correct += part->correct();
    samples += part->samples();
  }
  return Ratio(correct, samples);
}

void Coordinator::OnCheckpoint(absl::Time now, uint64_t version,
                               const std::string& folder,
                               const absl::Status& status) {
  nlohmann::json event = {{"event", "checkpoint"},
                          {"seconds", absl::ToDoubleSeconds(now - started_)},
                          {"step", version},
                          {"folder", folder}};
  if (!status.ok()) event["error"] = std::string(status.message());
  on_event_(event);
}

void Coordinator::OnGoodbye(uint32_t worker, const wire::Goodbye& goodbye) {
  if (!goodbyes_[worker]) {
    ++goodbye_count_;
    progress_[worker].state = "finished";
    on_event_({{"event", "goodbye"}, {"role", "worker"}, {"rank", worker}});
  }
  goodbyes_[worker] = goodbye;
}

absl::Status Coordinator::OnDigests(uint32_t shard,
                                    const wire::Digests& digests) {
  for (const auto& record : digests.records()) {
    if (record.block() >= digests_wanted_ ||
        plan_.blocks[record.block()].shard != shard) {
      return absl::InvalidArgumentError(
          absl::StrCat("digest of block ", record.block(), ", which shard ",
                       shard, " does not hold"));
    }
    if (record.sha256().size() != sizeof(Sha256Digest)) {
      return absl::DataLossError(absl::StrCat(
          "the digest of block ", record.block(), " is no SHA-256"));
    }
    digests_[record.block()] = record.sha256();
  }
  return absl::OkStatus();
}

bool Coordinator::Complete() const {
  const auto last = evaluations_.find(timeline_.steps_total);
  for (uint32_t w = 0; w < goodbyes_.size(); ++w) {
    if (present_[w] && !goodbyes_[w]) return false;
  }
  return goodbye_count_ > 0 && digests_.size() == digests_wanted_ &&
         last != evaluations_.end() && last->second.done;
}

nlohmann::json Coordinator::TimesJson() const {
  wire::StepTimes sums;
  double steps = 0;
  for (const auto& goodbye : goodbyes_) {
    if (!goodbye) continue;
    AddTimes(goodbye->times_total(), sums);
    steps += static_cast<double>(goodbye->steps());
  }
  return MeanTimes(sums, steps);
}

nlohmann::json Coordinator::Finish(absl::Time now) {
  TERSE_CHECK(Complete());
  uint64_t up = replaced_bytes_sent_;
  uint64_t down = replaced_bytes_received_;
  std::vector<uint64_t> step_ns;
  for (const auto& goodbye : goodbyes_) {
    if (!goodbye) continue;
    up += goodbye->bytes_sent();
    down += goodbye->bytes_received();
    step_ns.push_back(goodbye->step_p50_ns());
  }
  std::sort(step_ns.begin(), step_ns.end());
  const uint64_t steps = timeline_.steps_total - first_version_;
  // Blocks do not depend on the number of servers, so this does not either.
  Sha256 hash;
  for (const auto& [block, digest] : digests_)
    hash.Update(std::string_view(digest));

  nlohmann::json report = {
      {"job", job_.name()},
      {"transport", TransportName(job_.cluster().transport())},
      {"servers", ServerCount(job_)},
      {"workers", job_.cluster().workers()},
      {"parameters", parameters_},
      {"steps", timeline_.steps_total},
      {"first_step", first_version_},
      {"steps_per_epoch", timeline_.steps_per_epoch},
      {"seconds", absl::ToDoubleSeconds(now - started_)},
      {"step_ms_p50",
       Milliseconds(static_cast<double>(step_ns[step_ns.size() / 2]))},
      {"train_loss", Ratio(epoch_.loss, epoch_.samples)},
      {"train_accuracy",
       Ratio(epoch_.correct, epoch_.samples * plan_.model.predictions)},
      {"test_loss", *test_loss_},
      {"test_accuracy", *test_accuracy_},
      {"wire_bytes_up", up},
      {"wire_bytes_down", down},
      {"bits_per_element_up", BitsPerElement(up, steps)},
      {"bits_per_element_down", BitsPerElement(down, steps)},
      {"time_ms", TimesJson()},
      {"weights_sha256", Hex(hash.Finish())}};
  if (IsAuto(job_)) {
    report["codecs"] = nlohmann::json::array();
    for (const CodecChoice& choice : job_.compress().auto_().choices()) {
      report["codecs"].push_back(
          {{"step", choice.step()}, {"codec", PrintCodec(choice.gradient())}});
    }
  }
  AddBitsPerCharacter("train", report);
  AddBitsPerCharacter("test", report);
  EmitWorkers(now);
  on_event_({{"event", "finish"},
             {"seconds", report["seconds"]},
             {"test_accuracy", report["test_accuracy"]},
             {"weights_sha256", report["weights_sha256"]}});
  return report;
}

}  // namespace terse
