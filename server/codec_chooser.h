// The coordinator's part of `compress.gradient: auto`: has workers measure the
// candidates, measures the wire to each worker, and predicts what a step takes.
// A state machine without clock or socket; see ARCHITECTURE.md, "Choosing a
// codec".
#ifndef TERSE_SERVER_CODEC_CHOOSER_H_
#define TERSE_SERVER_CODEC_CHOOSER_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/cost/cost_model.h"
#include "common/frame/frame.h"
#include "nlohmann/json.hpp"
#include "proto/job.pb.h"
#include "proto/wire.pb.h"

namespace terse {

// Of a probe of the wire's rate.
inline constexpr size_t kProbeBytes = size_t{1} << 18;

// What is known of a job's candidates, kept while its codec changes.
struct CodecRates {
  std::vector<StepWork> work;  // By candidate; empty: not measured yet.
  ComputeTime compute;
  Machine machine;
};

class CodecChooser {
 public:
  struct Output {
    std::function<void(uint32_t worker, Frame frame)> send;
    // Seconds of processor time that this process has used; empty: unknown.
    std::function<double()> processor_seconds;
    // The fastest of Candidates(job).
    std::function<void(size_t candidate)> chosen;
  };

  // `job` must outlive this. `shares`: StepWork's, of the job's model; `rates`:
  // what an earlier part of the job knows.
  CodecChooser(const Job& job, std::vector<double> shares,
               std::shared_ptr<CodecRates> rates, Output output);

  // What worker `worker` has told of its machine.
  void OnReady(uint32_t worker, const wire::Ready& ready);

  // Starts to measure: candidates that are not known, then the wire. `compute`:
  // forward and backward too, which must not be while the job runs.
  void Begin(absl::Time now, bool compute);
  bool busy() const { return phase_ != Phase::kIdle; }

  // Forward and backward as they are while the job runs; taken where nothing
  // has been measured.
  void SetCompute(const wire::StepTimes& times);

  // Errors: InvalidArgument, DataLoss: not what was asked for.
  absl::Status OnMeasured(absl::Time now, uint32_t worker,
                          const wire::Measured& measured);
  absl::Status OnProbe(absl::Time now, uint32_t worker, const Frame& frame);

  // By candidate.
  std::vector<StepCost> Predict() const;

  // The candidates, what they cost and the fastest, as an event and as lines
  // for people.
  nlohmann::json Describe(size_t chosen) const;
  std::vector<std::string> Lines(size_t chosen) const;

 private:
  enum class Phase { kIdle, kMeasuring, kRoundTrip, kStream };

  void StartWorker(absl::Time now, uint32_t worker);
  void SendProbes(absl::Time now, uint32_t count, size_t bytes);
  void FinishStream(absl::Time now);

  const Job& job_;
  const std::vector<double> shares_;
  const std::vector<GradientCodec> candidates_;
  const std::shared_ptr<CodecRates> rates_;
  const Output output_;
  std::vector<wire::Ready> ready_;  // By worker.

  Phase phase_ = Phase::kIdle;
  uint32_t worker_ = 0;       // That is being probed.
  uint32_t rounds_ = 0;       // Short probes that have come back.
  double round_trip_ms_ = 0;  // The shortest of this worker.
  uint32_t probes_ = 0;       // On their way.
  uint32_t stream_ = 0;       // Probes of the last stream.
  absl::Time sent_;
  double processor_begin_ = 0;
  double processor_seconds_ = 0, processor_bytes_ = 0;
  Machine found_;
};

// What a coordinator knows of a codec to come.
struct CodecChange {
  std::unique_ptr<CodecChooser> chooser;  // Null: the job has its codec.
  absl::Time checked;
  // The codec that the job goes on with from the next version that is kept, and
  // once one is being kept for it, from which.
  std::optional<GradientCodec> next;
  std::optional<uint64_t> version;
};

}  // namespace terse

#endif  // TERSE_SERVER_CODEC_CHOOSER_H_
