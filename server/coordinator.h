// What shard 0 does for the whole job beside its own blocks: counts the roles
// in, merges statistics over shards, follows progress, collects the evaluations
// and the end, writes the report. No clock, thread, socket or file.
#ifndef TERSE_SERVER_COORDINATOR_H_
#define TERSE_SERVER_COORDINATOR_H_

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/plan/plan.h"
#include "common/plan/timeline.h"
#include "nlohmann/json.hpp"
#include "proto/wire.pb.h"
#include "server/reduction.h"

namespace terse {

class Coordinator {
 public:
  // `on_event` receives what happens, one JSON object each: joined, ready,
  // start, progress, workers, observation, evaluation, checkpoint, goodbye,
  // finish, abort. The job starts at `first_version`.
  Coordinator(const Job& job, const Plan& plan, uint64_t first_version,
              std::function<void(const nlohmann::json&)> on_event);

  // Every worker tells the size of its data; when all have, and agree, the
  // timeline is known.
  // Errors: InvalidArgument (sizes differ, or too few samples for one step).
  absl::StatusOr<std::optional<Timeline>> OnReady(uint32_t worker,
                                                  const wire::Ready& ready);
  void OnJoined(const std::string& role, uint32_t rank);
  void OnLost(wire::Join::Role role, uint32_t rank, const std::string& why);
  void OnStart(absl::Time now);
  void OnAbort(const absl::Status& reason);

  void OnStepReport(absl::Time now, uint32_t worker, uint64_t step,
                    const wire::StepReport& report);
  absl::Status OnEvaluation(absl::Time now, uint32_t worker, uint64_t version,
                            const wire::EvaluationReport& report);
  // Requires: the observation is valid.
  void OnObservation(uint64_t step, const wire::Observation& observation);
  // Whether `worker` has told its loss of step `step`.
  bool HasReported(uint32_t worker, uint64_t step) const;
  // The test accuracy of `version`, once every worker has evaluated it.
  std::optional<double> AccuracyOf(uint64_t version) const;
  void OnCheckpoint(absl::Time now, uint64_t version, const std::string& folder,
                    const absl::Status& status);
  void OnGoodbye(uint32_t worker, const wire::Goodbye& goodbye);
  // Rounds go on without a worker that was lost, or with it again, or with
  // another process in its place, whose counters begin anew.
  void Leave(absl::Time now, uint32_t worker);
  void OnReturn(uint32_t worker, bool replaced);
  // Errors: InvalidArgument (of blocks that `shard` does not hold), DataLoss.
  absl::Status OnDigests(uint32_t shard, const wire::Digests& digests);

  // Whether `shard` may send this part of a reduction while the coordinator's
  // own shard is at version `current`.
  // Errors: InvalidArgument (others' blocks, or a version nobody makes now).
  absl::Status CheckPart(uint32_t shard, uint64_t current, uint64_t version,
                         const wire::BlockStatistics& part) const;

  // A shard's part of a reduction; the merged record when it was the last, and
  // for a process that takes a lost one's place and asks again.
  absl::StatusOr<std::optional<wire::BlockStatistics>> OnReduce(
      uint64_t version, const wire::BlockStatistics& part);

  // Whether all evaluations, goodbyes and digests are in.
  bool Complete() const;
  // Requires: Complete(). Emits the finish event.
  nlohmann::json Finish(absl::Time now);

  uint64_t step() const { return last_step_; }

  // For the coordinator's mirror, see coordinator_state.cc: adds what is known
  // here to `state`; how often that has changed, or what else belongs to it.
  void AddState(absl::Time now, wire::JobState& state) const;
  uint64_t changes() const { return changes_; }
  void OnChange() { ++changes_; }
  // In place of OnReady and OnStart: goes on with it.
  // Errors: DataLoss (it is of another job).
  absl::Status Restore(absl::Time now, const Timeline& timeline,
                       const wire::JobState& state);

 private:
  struct LossSums {
    double loss = 0;
    uint64_t correct = 0;
    uint64_t samples = 0;
  };
  // By worker, so that the sum does not depend on who reports first.
  struct OpenStep {
    std::vector<LossSums> parts;
  };
  struct Evaluation {
    std::vector<std::optional<wire::EvaluationReport>> parts;
    bool done = false;
  };

  // What is told of a worker while the job runs.
  struct WorkerProgress {
    const char* state = "joining";
    uint64_t steps = 0;
    uint64_t window_samples = 0;  // Since the last workers event.
    wire::StepTimes times;        // Of its last step.
  };

  // Of steps, and of an evaluation, that nobody is missing from any more.
  void CloseSteps();
  void CloseIfComplete(absl::Time now, uint64_t version,
                       Evaluation& evaluation);
  // Of a version that all have evaluated; returns the samples of it.
  uint64_t CountEvaluation(Evaluation& evaluation);
  void EmitProgress(absl::Time now);
  void EmitWorkers(absl::Time now);
  nlohmann::json TensorsJson() const;
  // Adds "train_bits_per_character", the loss with logarithms to base 2, beside
  // "train_loss" if the data are text.
  void AddBitsPerCharacter(const std::string& part,
                           nlohmann::json& record) const;
  double BitsPerElement(uint64_t bytes, uint64_t steps) const;
  // Mean over the workers that have told theirs; none if none has.
  std::optional<double> ResidualNormRatio() const;
  nlohmann::json TimesJson() const;

  const Job& job_;
  const Plan& plan_;
  const std::function<void(const nlohmann::json&)> on_event_;
  const uint64_t parameters_;
  const uint64_t first_version_;
  Timeline timeline_;
  absl::Time started_;
  absl::Time progress_emitted_ = absl::InfinitePast();

  std::vector<bool> present_;  // By worker.
  std::vector<std::optional<wire::Ready>> ready_;
  uint32_t ready_count_ = 0;

  std::map<uint64_t, OpenStep> open_steps_;  // Not all workers reported yet.
  uint64_t last_step_ = 0;                   // Steps reported by everybody.
  LossSums window_;                          // Since the last progress event.
  wire::StepTimes window_times_;             // The same, over all reports.
  uint64_t window_reports_ = 0;
  std::vector<WorkerProgress> progress_;  // By worker.
  absl::Time workers_emitted_ = absl::InfinitePast();
  LossSums epoch_;                    // The last epoch's.
  std::vector<uint64_t> bytes_sent_;  // By worker.
  std::vector<uint64_t> bytes_received_;
  uint64_t replaced_bytes_sent_ = 0;  // By processes that others replaced.
  uint64_t replaced_bytes_received_ = 0;
  std::vector<std::optional<double>> residual_ratios_;  // By worker.

  uint64_t changes_ = 0;
  std::map<uint64_t, Evaluation> evaluations_;
  std::optional<double> test_loss_;
  std::optional<double> test_accuracy_;

  std::map<std::tuple<uint64_t, StatisticsKind, uint32_t>, Reduction>
      reductions_;
  // With cluster.replicas: of the last versions.
  std::map<std::tuple<uint64_t, StatisticsKind, uint32_t>,
           wire::BlockStatistics>
      merged_;
  std::vector<std::optional<wire::Goodbye>> goodbyes_;
  uint32_t goodbye_count_ = 0;
  std::map<uint32_t, std::string> digests_;
  size_t digests_wanted_ = 0;
};

}  // namespace terse

#endif  // TERSE_SERVER_COORDINATOR_H_
