// Maps full-precision shadow weights to the few-bit weights a network computes
// with: the codes that travel to the workers, their values, and the chain rule
// that carries a gradient back. The server runs it, so there is no torch here.
// A quantizer has no state and may be used from many threads. Formats:
// FORMAT.md beside this file.
//
// Codes are the same bytes on every instruction set. A NaN weight may be hidden
// by its code: that weights are finite is checked after every update, see
// BlockStore::Update.
#ifndef TERSE_COMMON_QUANTIZE_WEIGHT_QUANTIZER_H_
#define TERSE_COMMON_QUANTIZE_WEIGHT_QUANTIZER_H_

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "proto/job.pb.h"

namespace terse {

// Statistics of a whole tensor, which may lie on several shards: taken per
// block, then merged in block order, so that the sums do not depend on where
// the blocks lie.
struct TensorStats {
  double max_abs = 0;
  double sum = 0;
  double second_sum = 0;  // Of what else the quantizer adds up.
  uint64_t count = 0;

  // A NaN maximum stays: std::max would hide it.
  void Merge(const TensorStats& other) {
    if (!std::isnan(max_abs) && !(other.max_abs <= max_abs)) {
      max_abs = other.max_abs;
    }
    sum += other.sum;
    second_sum += other.second_sum;
    count += other.count;
  }
};

// What a quantizer needs to know of the block it is given.
struct QuantizeArgs {
  TensorStats weight_stats;    // Merged over the tensor; see WeightStats.
  TensorStats gradient_stats;  // Merged; see GradientStats. For ChainRule only.
  uint64_t key = 0;          // Element i draws RandomBits(key, first_index+i).
  uint64_t first_index = 0;  // Of the block's first element in its tensor.
  // The tensor's learned scales; see LearnedScales.
  std::span<const float> learned;
};

// Equidistant weights that do not depend on the weights: multiples of `step`,
// or, without a zero, odd multiples of step / 2; none beyond `max`.
struct WeightGrid {
  float step = 0;
  float max = 0;
  bool has_zero = true;
};

class WeightQuantizer {
 public:
  virtual ~WeightQuantizer() = default;

  // Name and options as in the job file, e.g. "dorefa:bits=2".
  virtual std::string Describe() const = 0;

  // Bits of one code, for plans and reports.
  virtual double BitsPerWeight() const = 0;

  // Whether WeightStats and GradientStats are wanted; they cost a reduction
  // over the shards in every step.
  virtual bool NeedsWeightStats() const = 0;
  virtual bool NeedsGradientStats() const = 0;
  virtual TensorStats WeightStats(std::span<const float> shadow) const = 0;
  virtual TensorStats GradientStats(std::span<const float> shadow,
                                    std::span<const float> gradient,
                                    const QuantizeArgs& args) const = 0;

  // Bytes that Encode writes for `count` weights.
  virtual size_t EncodedBytes(size_t count) const = 0;

  // Writes the codes of `shadow`. Requires: target.size() == EncodedBytes(n).
  virtual void Encode(std::span<const float> shadow, const QuantizeArgs& args,
                      std::span<std::byte> target) const = 0;

  // Errors: DataLoss (length, symbols), InvalidArgument (scale not finite).
  virtual absl::Status Validate(std::span<const std::byte> source,
                                size_t count) const = 0;

  // Writes the weights of the forward pass.
  // Requires: Validate(source, weights.size()) is OK.
  virtual void Decode(std::span<const std::byte> source,
                      std::span<float> weights) const = 0;

  // Turns the gradient by the quantized weights into one by the shadow weights,
  // in place. Linear in the gradient.
  virtual void ChainRule(std::span<const float> shadow,
                         const QuantizeArgs& args,
                         std::span<float> gradient) const = 0;

  // Whether the paper tests with the shadow weights themselves (stochastic
  // BinaryConnect) rather than with the codes.
  virtual bool EvaluatesWithShadow() const = 0;

  // Shadow weights are clipped to [-max, max], as the method's paper has it.
  virtual float ShadowMax() const {
    return std::numeric_limits<float>::infinity();
  }

  // The weights the training rules R and SR may keep; none: the method has no
  // grid of its own.
  virtual std::optional<WeightGrid> Grid() const { return std::nullopt; }

  // Scales per tensor that are trained with the weights (0 or 2); all start
  // at 1 and stay at least 0. Their gradients are `sum` and `second_sum` of
  // GradientStats, merged.
  virtual size_t LearnedScales() const { return 0; }
};

// The quantizer a job asks for; null for `none` (full precision). Methods that
// work by rows need `row_elements`, the elements of one output of the layer;
// those with a scale per row need it within a block. Errors: InvalidArgument
// (an option out of range, row_elements missing or too large).
absl::StatusOr<std::unique_ptr<WeightQuantizer>> MakeWeightQuantizer(
    const WeightQuantization& options, size_t row_elements = 0);

}  // namespace terse

#endif  // TERSE_COMMON_QUANTIZE_WEIGHT_QUANTIZER_H_
