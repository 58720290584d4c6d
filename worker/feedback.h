// What a worker keeps of a tensor from one step to the next: the residual of
// error feedback and the momentum of Deep Gradient Compression.
#ifndef TERSE_WORKER_FEEDBACK_H_
#define TERSE_WORKER_FEEDBACK_H_

#include <cstdint>
#include <span>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "common/codec/codec.h"
#include "common/plan/feedback_options.h"

namespace terse {

// With m the momentum, d the decay, c the clipping, C the codec, in every step
//
//   u <- m u + c(gradient)        without momentum: u = c(gradient)
//   v <- d v + u                  encoded and sent: C(v)
//   v <- v - C(v)                 without error feedback: v = 0
//   u <- 0 where C(v) was sent    with masking
//
// so that sent + v adds up to the gradients (d = 1, m = 0, no clipping), or to
// their momenta (m > 0, no masking): a momentum SGD delayed, not thinned out.
class Feedback {
 public:
  Feedback(const FeedbackOptions& options, size_t elements);

  // Before the blocks of a step; `gradient` is what there is of the tensor's,
  // all of it if the options clip it.
  void BeginStep(std::span<const float> gradient);

  // u (the clipped gradient, or its momentum) of a run of elements that starts
  // at `first_index`, once a step; decays v there. The result lies in
  // `gradient_run` or in this object, or is the thread's until its next call.
  std::span<const float> Prepare(std::span<const float> gradient_run,
                                 uint64_t first_index);

  // As Codec::Encode without its target.
  using EncodeFunction = absl::FunctionRef<absl::StatusOr<size_t>(
      std::span<const float> values, const EncodeArgs& args)>;

  // Encodes a block of what Prepare returned, element args.first_index the
  // first of it, with what is kept of it; sets args.residual itself. Different
  // blocks of a step may be prepared and encoded at once, on different threads.
  // Errors: those of `encode`; the state means nothing after one.
  absl::StatusOr<size_t> Encode(std::span<const float> values, EncodeArgs args,
                                EncodeFunction encode);

  // The state, for checkpoints to keep and put back: v and u; empty where the
  // options ask for none.
  std::span<float> residual() { return residual_; }
  std::span<const float> residual() const { return residual_; }
  std::span<float> momentum() { return momentum_; }
  std::span<const float> momentum() const { return momentum_; }

 private:
  // `values` without what is not finite, if that is to count as 0.
  std::span<const float> Cleaned(std::span<const float> values);

  const FeedbackOptions options_;
  std::vector<float> residual_;
  std::vector<float> momentum_;
  float scale_ = 1;  // Of the step's gradient, by clipping.
};

// sqrt(sum of squares) of all values, summed in blocks of kBlockElementsMax in
// their order; NaN if a value is.
double NormOf(std::span<const float> values);

}  // namespace terse

#endif  // TERSE_WORKER_FEEDBACK_H_
