// What worker 0 tells the coordinator of its tensors, for people to look at.
#ifndef TERSE_WORKER_OBSERVER_H_
#define TERSE_WORKER_OBSERVER_H_

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "common/plan/plan.h"
#include "proto/wire.pb.h"

namespace terse {

// Collects one step's observation while its gradients are sent.
class TensorObserver {
 public:
  // `plan` must outlive the observer.
  explicit TensorObserver(const Plan& plan) : plan_(plan) {}

  // A block of a gradient as it was encoded; blocks in their order.
  // `shared_scale`: what the levels stand for, if the workers share it.
  void OnPayload(uint32_t block, std::span<const std::byte> payload,
                 std::optional<float> shared_scale);

  // After the last block of `tensor`. `residual` is empty without feedback.
  void OnTensor(uint32_t tensor, std::span<const float> gradient,
                std::span<const float> residual,
                std::span<const float> weights);

  const wire::Observation& observation() const { return observation_; }

 private:
  const Plan& plan_;
  wire::Observation observation_;
  uint64_t payload_bytes_ = 0;  // Of the tensor under way.
  std::vector<float> sent_;     // Its first block, decoded.
};

}  // namespace terse

#endif  // TERSE_WORKER_OBSERVER_H_
