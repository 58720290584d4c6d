// What a worker does to a tensor's gradients around their encoding.
#ifndef TERSE_COMMON_PLAN_FEEDBACK_OPTIONS_H_
#define TERSE_COMMON_PLAN_FEEDBACK_OPTIONS_H_

namespace terse {

struct FeedbackOptions {
  // What an encoding lost is added to the next gradient (Karimireddy et al.,
  // arXiv 1901.09847), times `residual_decay`.
  bool error_feedback = false;
  float residual_decay = 1;

  // Deep Gradient Compression (Lin et al., arXiv 1712.01887). What is encoded
  // is a momentum of the gradients: u <- momentum * u + gradient; 0: none.
  float momentum = 0;
  // Elements that were sent start their momentum anew.
  bool momentum_masking = false;
  // The tensor's gradient is scaled down to this L2 norm first; 0: not.
  float gradient_norm_max = 0;

  // What is not finite counts as 0.
  bool zero_non_finite = false;

  bool any() const {
    return error_feedback || momentum > 0 || gradient_norm_max > 0 ||
           zero_non_finite;
  }
};

}  // namespace terse

#endif  // TERSE_COMMON_PLAN_FEEDBACK_OPTIONS_H_
