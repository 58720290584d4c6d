// What a plan will cost, before it runs: bytes on the wire and in memory.
#ifndef TERSE_COMMON_COST_TRAFFIC_H_
#define TERSE_COMMON_COST_TRAFFIC_H_

#include <cstdint>
#include <vector>

#include "common/plan/plan.h"
#include "proto/job.pb.h"

namespace terse {

// Of one worker's step.
struct Traffic {
  uint64_t payload_bytes_up = 0;
  uint64_t payload_bytes_down = 0;
  uint64_t frames = 0;  // In each direction.

  uint64_t bytes_up() const;
  uint64_t bytes_down() const;
};

// A block's part. Codecs whose length depends on the gradient are counted at a
// typical one's; buffers count nothing, see StatisticsBytes.
// Of full-precision weights that come down as sums after the first version, the
// sums are counted.
Traffic BlockTraffic(const Plan& plan, uint32_t block);
Traffic TensorTraffic(const Plan& plan, uint32_t tensor);
Traffic PlanTraffic(const Plan& plan);

// What part of the elements each tensor has, in the model's order; buffers have
// none.
std::vector<double> TensorShares(const Plan& plan);

// What a worker tells each server with a step, frame header included.
uint64_t StepReportBytes(const Job& job);

// Of the batch-norm statistics that a worker sends with a step where another
// may take its rank, frame headers included.
uint64_t StatisticsBytes(const Job& job, const Plan& plan);

// Bytes; what libraries and the operating system take comes on top.
struct ServerMemory {
  uint64_t weights = 0;
  uint64_t optimizer = 0;
  // Sums, gradients of every worker that wait for their turn, codes to send.
  uint64_t working = 0;

  uint64_t total() const { return weights + optimizer + working; }
};
ServerMemory MemoryOfServer(const Job& job, const Plan& plan, uint32_t shard);

struct WorkerMemory {
  uint64_t weights = 0;
  uint64_t optimizer = 0;    // Of replicas.
  uint64_t gradients = 0;    // Residuals of error feedback among them.
  uint64_t activations = 0;  // Values and gradients of a batch's layers.
  uint64_t working = 0;      // Codes sent and received.

  uint64_t total() const {
    return weights + optimizer + gradients + activations + working;
  }
};
WorkerMemory MemoryOfWorker(const Job& job, const Plan& plan);

}  // namespace terse

#endif  // TERSE_COMMON_COST_TRAFFIC_H_
