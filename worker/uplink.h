// Sends a worker's gradients: cuts them into blocks, encodes, keeps what the
// encoding lost.
#ifndef TERSE_WORKER_UPLINK_H_
#define TERSE_WORKER_UPLINK_H_

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "common/frame/frame.h"
#include "common/plan/plan.h"

namespace terse {

class Uplink {
 public:
  // `send` hands a frame to a shard's link. `plan` must outlive the uplink.
  Uplink(const Plan& plan, uint64_t seed, uint32_t worker,
         std::function<absl::Status(uint32_t shard, Frame frame)> send);

  // Encodes and sends all blocks of `tensor`'s gradient of `step`.
  // Errors: InvalidArgument (NaN or infinity, with the tensor's name), those of
  // `send`.
  absl::Status Push(uint64_t step, uint32_t tensor,
                    std::span<const float> gradient);

  // Sends a buffer's values for the evaluation of `version`.
  absl::Status PushBuffer(uint64_t version, uint32_t tensor,
                          std::span<const float> values);

  // What error feedback holds back of `tensor`; empty without it.
  std::span<const float> Residual(uint32_t tensor) const {
    return residuals_[tensor];
  }

 private:
  const Plan& plan_;
  const uint64_t seed_;
  const uint32_t worker_;
  const std::function<absl::Status(uint32_t shard, Frame frame)> send_;
  std::vector<std::vector<float>> residuals_;  // By tensor.
};

}  // namespace terse

#endif  // TERSE_WORKER_UPLINK_H_
