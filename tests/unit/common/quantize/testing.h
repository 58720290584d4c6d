// Runs a quantizer over a tensor as servers do: statistics, codes, weights.
#ifndef TERSE_TESTS_UNIT_COMMON_QUANTIZE_TESTING_H_
#define TERSE_TESTS_UNIT_COMMON_QUANTIZE_TESTING_H_

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include "common/base/random.h"
#include "common/quantize/weight_quantizer.h"
#include "gtest/gtest.h"

namespace terse {

inline std::unique_ptr<WeightQuantizer> MakeOrDie(
    const WeightQuantization& options, size_t row_elements = 0) {
  auto quantizer = MakeWeightQuantizer(options, row_elements);
  EXPECT_TRUE(quantizer.ok()) << quantizer.status();
  return *std::move(quantizer);
}

inline std::unique_ptr<WeightQuantizer> MakeOrDie(WeightQuantization::Kind kind,
                                                  int bits = 1,
                                                  size_t row_elements = 0) {
  WeightQuantization options;
  options.set_kind(kind);
  options.set_bits(bits);
  return MakeOrDie(options, row_elements);
}

inline constexpr float kLearnedScales[] = {1.5f, 0.25f};

// Statistics and learned scales as a server would give them.
inline QuantizeArgs WithStats(const WeightQuantizer& quantizer,
                              const std::vector<float>& shadow,
                              QuantizeArgs args = {}) {
  args.weight_stats = quantizer.WeightStats(shadow);
  args.learned = std::span(kLearnedScales).first(quantizer.LearnedScales());
  return args;
}

inline std::vector<std::byte> Encoded(const WeightQuantizer& quantizer,
                                      const std::vector<float>& shadow,
                                      QuantizeArgs args = {}) {
  args = WithStats(quantizer, shadow, args);
  std::vector<std::byte> codes(quantizer.EncodedBytes(shadow.size()));
  quantizer.Encode(shadow, args, codes);
  return codes;
}

// The weights of the forward pass, through the bytes.
inline std::vector<float> Quantized(const WeightQuantizer& quantizer,
                                    const std::vector<float>& shadow,
                                    QuantizeArgs args = {}) {
  const std::vector<std::byte> codes = Encoded(quantizer, shadow, args);
  const absl::Status status = quantizer.Validate(codes, shadow.size());
  EXPECT_TRUE(status.ok()) << status;
  std::vector<float> weights(shadow.size());
  quantizer.Decode(codes, weights);
  return weights;
}

// The gradient by the shadow weights.
inline std::vector<float> Turned(const WeightQuantizer& quantizer,
                                 const std::vector<float>& shadow,
                                 std::vector<float> gradient) {
  QuantizeArgs args = WithStats(quantizer, shadow);
  args.gradient_stats = quantizer.GradientStats(shadow, gradient, args);
  quantizer.ChainRule(shadow, args, gradient);
  return gradient;
}

// Uniform in [-max, max).
inline std::vector<float> Uniform(size_t count, float max, uint64_t key) {
  std::vector<float> values(count);
  for (size_t i = 0; i < count; ++i) {
    values[i] = max * (2 * RandomUnit(key, i) - 1);
  }
  return values;
}

}  // namespace terse

#endif  // TERSE_TESTS_UNIT_COMMON_QUANTIZE_TESTING_H_
