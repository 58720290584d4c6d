// Watches from outside what one worker's error feedback does: the gradients it
// is given, the frames it sends and what it keeps must add up in every step.
#ifndef TERSE_TESTS_SIM_RESIDUAL_CHECK_H_
#define TERSE_TESTS_SIM_RESIDUAL_CHECK_H_

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "common/frame/frame.h"
#include "common/plan/plan.h"
#include "worker/uplink.h"

namespace terse {

// With the letters of worker/feedback.h, of every element that was sent,
//
//   d v + u = sent + v'        u = m u + c gradient, or c gradient
//   u' = 0 where anything was sent, with masking; else u
//
// all in double. The worker has rounded c (twice), c gradient, m u, their sum,
// d v, the sum with it, a level and its step, the difference, and what a codec
// cuts off before (twice), each by at most 2^-24 of a number that is no larger
// than |d v| + |m u| + |c gradient| + |sent|: within 2^-20 of it in all. An
// approximation P Q^T has in place of the level as many products and sums as
// its rank, of which none is larger than the sum of |P Q^T|'s terms.
class ResidualCheck {
 public:
  // `plan` must outlive the check.
  explicit ResidualCheck(const Plan& plan);

  // Around Uplink::Push of a tensor. The end says what does not add up, once.
  void Begin(const Uplink& uplink, uint64_t step, uint32_t tensor,
             std::span<const float> gradient);
  std::string End(const Uplink& uplink);

  // What the worker sends, whenever it does.
  void OnSent(const Frame& frame);

  uint64_t elements_checked() const { return elements_checked_; }

 private:
  struct Element {
    double whole = 0;  // d v + u
    double sum = 0;    // Of the magnitudes that it is made of.
    double momentum = 0;
  };
  // A tensor whose second factor comes later than its gradient.
  struct Approximated {
    uint64_t step = 0;
    std::vector<Element> elements;
    std::vector<float> right;  // Empty: it has not been sent.
  };

  void Decode(const Uplink& uplink, const Frame& frame);
  std::string CheckApproximation(const Uplink& uplink, uint32_t tensor);
  // What is wrong with element `i` of `tensor`, of which `sent` has gone.
  std::string Check(const Element& element, double sent, double terms,
                    double kept, uint32_t tensor, size_t i);

  const Plan& plan_;
  uint64_t step_ = 0;
  std::optional<uint32_t> tensor_;          // Between Begin and End.
  std::vector<Element> elements_;           // Of it.
  std::vector<Frame> frames_;               // Of its blocks that went out.
  std::vector<float> sent_;                 // Of it.
  std::vector<Approximated> approximated_;  // By tensor.
  std::string wrong_;
  uint64_t elements_checked_ = 0;
};

}  // namespace terse

#endif  // TERSE_TESTS_SIM_RESIDUAL_CHECK_H_
