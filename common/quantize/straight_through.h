// What quantizers without statistics and with the straight-through estimator
// (Bengio, Leonard, Courville, arXiv 1308.3432) have in common.
#ifndef TERSE_COMMON_QUANTIZE_STRAIGHT_THROUGH_H_
#define TERSE_COMMON_QUANTIZE_STRAIGHT_THROUGH_H_

#include <span>

#include "common/quantize/weight_quantizer.h"

namespace terse {

class StraightThrough : public WeightQuantizer {
 public:
  bool NeedsWeightStats() const override { return false; }
  bool NeedsGradientStats() const override { return false; }
  TensorStats WeightStats(std::span<const float>) const override { return {}; }
  TensorStats GradientStats(std::span<const float>, std::span<const float>,
                            const QuantizeArgs&) const override {
    return {};
  }
  void ChainRule(std::span<const float>, const QuantizeArgs&,
                 std::span<float>) const override {}
  bool EvaluatesWithShadow() const override { return false; }
};

}  // namespace terse

#endif  // TERSE_COMMON_QUANTIZE_STRAIGHT_THROUGH_H_
