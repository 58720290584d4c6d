// A worker's replica of the tensors of which the sum of the gradients comes
// down: their optimizer state, and the update the server makes too.
#ifndef TERSE_WORKER_REPLICA_H_
#define TERSE_WORKER_REPLICA_H_

#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "common/plan/plan.h"

namespace terse {

class Replica {
 public:
  // `job` and `plan` must outlive the replica.
  Replica(const Job& job, const Plan& plan);

  // Decodes the SUMS payload of `block`, whose levels have `agreed_scale`, or
  // whose left factor is `basis`.
  // Errors: as ValidateSum, naming the tensor; nothing was changed.
  absl::Status Decode(uint32_t block, float agreed_scale,
                      std::span<const float> basis,
                      std::span<const std::byte> payload);

  // The block's optimizer state, as OptimizerStateNames, for checkpoints.
  std::vector<std::span<float>> State(uint32_t block);

  // Updates the block's part of `tensor_values` by what was decoded last, as
  // the update of step `step`.
  void Update(uint32_t block, uint64_t step, float learning_rate,
              std::span<float> tensor_values);

 private:
  const Job& job_;
  const Plan& plan_;
  // By tensor, then as OptimizerStateNames; none where weights come down.
  std::vector<std::vector<std::vector<float>>> state_;
  std::vector<float> mean_;  // Of one block.
  float factor_ = 1;
};

}  // namespace terse

#endif  // TERSE_WORKER_REPLICA_H_
