// How long a step takes, predicted: one explicit model for `terse bench
// advise`, `terse plan` and `compress.gradient: auto`. ARCHITECTURE.md, "What a
// step costs", says what it is and what it leaves out.
#ifndef TERSE_COMMON_COST_COST_MODEL_H_
#define TERSE_COMMON_COST_COST_MODEL_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace terse {

// What one codec makes of a job's tensors, measured on one core of this machine
// while nothing else ran.
struct StepWork {
  double encode_ms = 0;  // A worker's gradient, residuals included.
  double add_ms = 0;  // All servers: one worker's gradient checked and added.
  // All servers: rounds closed, weights updated, what comes down encoded.
  double close_ms = 0;
  double decode_ms = 0;     // A worker: what comes down, with its own update.
  uint64_t bytes_up = 0;    // Of one worker, frame headers included.
  uint64_t bytes_down = 0;  // To one worker.
  uint32_t blocks = 1;
  // A second exchange a step (PowerSGD).
  bool two_exchanges = false;
  // Each tensor's share of the bytes, in the model's order; see GradientsSent.
  // Empty: so many tensors that gradients leave evenly.
  std::vector<double> shares = {};
};

// Forward and backward of a worker's mini-batch.
struct ComputeTime {
  double forward_ms = 0;
  double backward_ms = 0;
};

struct Machine {
  double link_gbit = 1;  // Of each host, in each direction (10^9 bits).
  double cores = 1;      // Of each host.
  // Processor time that a byte costs whoever sends it, and whoever receives it.
  double wire_ns_per_byte = 0.4;
  double round_trip_ms = 0.2;  // Of a short message.
};

struct Layout {
  uint32_t workers = 1;
  uint32_t servers = 1;
  // Servers run on the workers' hosts, dealt out in turn, one worker a host;
  // else each process has a host of its own.
  bool shared_hosts = true;
};

// What a step would take if nothing but this held it up.
struct StepCost {
  double worker_ms = 0;     // A worker's own work, one thing after the other.
  double processor_ms = 0;  // The busiest host's processes on its cores.
  double wire_ms = 0;       // The busiest direction of a link, and forward.
  double server_ms = 0;     // The busiest server's thread, and forward.
  double step_ms = 0;       // The longest of these, and what ends a step.
};

StepCost PredictStep(const StepWork& work, const ComputeTime& compute,
                     const Machine& machine, const Layout& layout);

// "worker", "processors", "wire" or "server": what holds the step up.
std::string BoundOf(const StepCost& cost);

// The link rate (Gbit/s) below which `codec` takes a step faster than `other`:
// infinity if it is so at every rate, nothing if at none.
std::optional<double> PaysBelowGbit(const StepWork& codec,
                                    const StepWork& other,
                                    const ComputeTime& compute,
                                    const Machine& machine,
                                    const Layout& layout);

}  // namespace terse

#endif  // TERSE_COMMON_COST_COST_MODEL_H_
