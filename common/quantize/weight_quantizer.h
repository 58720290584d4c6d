// Maps full-precision shadow weights to the few-bit weights a network computes
// with: the codes that travel to the workers, their values, and the chain rule
// that carries a gradient back. The server runs it, so there is no torch here.
// A quantizer has no state and may be used from many threads. Formats:
// FORMAT.md beside this file.
//
// Codes are the same bytes on every instruction set. A NaN weight gets the
// lowest code (or makes its scale NaN, which Validate refuses): that weights
// are finite is for the optimizer's caller to watch.
#ifndef TERSE_COMMON_QUANTIZE_WEIGHT_QUANTIZER_H_
#define TERSE_COMMON_QUANTIZE_WEIGHT_QUANTIZER_H_

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <memory>
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
  uint64_t count = 0;

  // A NaN maximum stays: std::max would hide it.
  void Merge(const TensorStats& other) {
    if (!std::isnan(max_abs) && !(other.max_abs <= max_abs)) {
      max_abs = other.max_abs;
    }
    sum += other.sum;
    count += other.count;
  }
};

// What a quantizer needs to know of the block it is given.
struct QuantizeArgs {
  TensorStats weight_stats;    // Merged over the tensor; see WeightStats.
  TensorStats gradient_stats;  // Merged; see GradientStats. For ChainRule only.
  uint64_t key = 0;          // Element i draws RandomBits(key, first_index+i).
  uint64_t first_index = 0;  // Of the block's first element in its tensor.
  size_t row_elements = 0;   // Elements of one output (filter, neuron).
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
};

// The quantizer a job asks for; null for `none` (full precision). Methods with
// a scale per row need `row_elements`, the elements of one output of the layer:
// a row that does not fit into a block has a scale for each block. Errors:
// InvalidArgument (an option out of range, row_elements missing).
absl::StatusOr<std::unique_ptr<WeightQuantizer>> MakeWeightQuantizer(
    const WeightQuantization& options, size_t row_elements = 0);

}  // namespace terse

#endif  // TERSE_COMMON_QUANTIZE_WEIGHT_QUANTIZER_H_
