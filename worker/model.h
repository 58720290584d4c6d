// What a worker needs of a network. worker/torch has the real one, tests/sim
// one that needs no torch.
#ifndef TERSE_WORKER_MODEL_H_
#define TERSE_WORKER_MODEL_H_

#include <cstdint>
#include <functional>
#include <span>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace terse {

struct LossSums {
  double loss = 0;  // Summed over the samples, each with its mean prediction's.
  uint64_t correct = 0;  // Predictions; a sample of text has many.
  uint64_t samples = 0;
};

// What a network asks and tells while it computes a step, so that the wire
// works at the same time. Called on the thread of ComputeGradient.
struct StepHooks {
  // Before the forward pass reads parameter `tensor` for the first time;
  // returns when its values are in place.
  std::function<absl::Status(uint32_t tensor)> await;
  // The first `ready.size()` elements of the gradient of `tensor` are final;
  // more follow, and at the end on_gradient of all.
  std::function<absl::Status(uint32_t tensor, std::span<const float> ready)>
      on_part;
};

class NetworkModel {
 public:
  virtual ~NetworkModel() = default;

  virtual uint64_t train_samples() const = 0;
  virtual uint64_t test_samples() const = 0;

  // Values of tensor `tensor` of the ModelSpec, in place: what is written here
  // is what the next forward pass uses. Valid as long as the model.
  virtual std::span<float> Values(uint32_t tensor) = 0;

  // Hooks of all steps to come. Returns false, and calls none, if the network
  // needs all its parameters before a step.
  virtual bool SetHooks(StepHooks) { return false; }

  // Forward and backward on the mini-batch of `step`: a function of (seed,
  // step, worker). Calls `on_loss` once, then `on_gradient` for each parameter
  // with the gradient of the mean loss, as backward produces them; the spans
  // hold until the call returns. Updates the batch-norm statistics in place
  // before it calls `on_loss`.
  // Errors: InvalidArgument (the loss is not finite).
  virtual absl::Status ComputeGradient(
      uint64_t step, const std::function<void(const LossSums&)>& on_loss,
      const std::function<absl::Status(
          uint32_t tensor, std::span<const float>)>& on_gradient) = 0;

  // Loss and accuracy on test samples [first, first + count), with the
  // batch-norm statistics in place and no dropout. Changes nothing.
  virtual absl::StatusOr<LossSums> Evaluate(uint64_t first, uint64_t count) = 0;
};

}  // namespace terse

#endif  // TERSE_WORKER_MODEL_H_
