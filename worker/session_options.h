// What a worker's session is given.
#ifndef TERSE_WORKER_SESSION_OPTIONS_H_
#define TERSE_WORKER_SESSION_OPTIONS_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/cost/cost_model.h"
#include "common/plan/plan.h"
#include "proto/wire.pb.h"
#include "worker/model.h"

namespace terse {

// Makes the network of worker `rank`; errors end the job.
using ModelFactory =
    std::function<absl::StatusOr<std::unique_ptr<NetworkModel>>(
        const Job& job, const Plan& plan, uint32_t rank)>;

// A step that is over, for those who measure.
struct StepRecord {
  uint64_t step = 0;
  uint64_t samples = 0;
  double loss_sum = 0;
  wire::StepTimes times;
  std::optional<double> residual_norm_ratio;
};

// What `compress.gradient: auto` has a worker measure.
using WorkMeter = std::function<absl::StatusOr<StepWork>(const Job& job)>;

struct SessionOptions {
  std::string coordinator_address;
  std::optional<uint32_t> rank;  // Absent: the coordinator chooses.
  std::string token;
  uint64_t incarnation = 0;
  absl::Duration join_timeout = absl::Seconds(300);
  // Called after every step, from the thread that drives the session.
  std::function<void(const StepRecord&)> on_step;
  // Handles one event of the link, waiting for it (HandleNextEvent), from
  // within the session's own call: a step can then begin before all of its
  // weights are in. Empty: it waits for all.
  std::function<void()> handle_next_event;
  // Handles one event that has come; false: none has. Empty: the session cannot
  // tell that it is behind.
  std::function<bool()> handle_pending_event;
  // Measures a job's codec; see MeasureStepWork. Empty: cannot.
  WorkMeter measure_work;
  // Of this machine; workers of one host share its cores.
  std::string host;
  uint32_t cores = 1;
};

}  // namespace terse

#endif  // TERSE_WORKER_SESSION_OPTIONS_H_
