#include "common/quantize/dorefa.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/kernels/dorefa_kernels.h"
#include "common/kernels/moments.h"
#include "common/kernels/pack_bits.h"
#include "common/kernels/tanh_math.h"
#include "common/quantize/wire.h"

namespace terse {
namespace {

// Codes pass through a buffer on the stack; a multiple of 8, so that every
// chunk ends on a byte.
constexpr size_t kChunk = 1024;

float TanhMax(const TensorStats& stats) {
  return TanhElement(static_cast<float>(stats.max_abs));
}

class Dorefa final : public WeightQuantizer {
 public:
  explicit Dorefa(int bits) : bits_(bits), levels_((1 << bits) - 1) {}

  std::string Describe() const override {
    return absl::StrCat("dorefa:bits=", bits_);
  }
  double BitsPerWeight() const override { return bits_; }
  bool NeedsWeightStats() const override { return true; }
  bool NeedsGradientStats() const override { return true; }
  bool EvaluatesWithShadow() const override { return false; }

  TensorStats WeightStats(std::span<const float> shadow) const override {
    BlockMoments moments;
    moments.max_abs_bits = AddMaxAbs(shadow.data(), shadow.size(), nullptr);
    return {.max_abs = moments.max_abs()};
  }

  TensorStats GradientStats(std::span<const float> shadow,
                            std::span<const float> gradient,
                            const QuantizeArgs& args) const override {
    const auto max_abs = static_cast<float>(args.weight_stats.max_abs);
    const auto at_max = [max_abs](float r) { return std::fabs(r) == max_abs; };
    return {.sum = TanhDot(shadow.data(), gradient.data(), shadow.size()),
            .count = static_cast<uint64_t>(
                std::count_if(shadow.begin(), shadow.end(), at_max))};
  }

  size_t EncodedBytes(size_t count) const override {
    return PackedBytes(count, bits_);
  }

  void Encode(std::span<const float> shadow, const QuantizeArgs& args,
              std::span<std::byte> target) const override {
    TERSE_CHECK(target.size() == EncodedBytes(shadow.size()));
    const float tanh_max = TanhMax(args.weight_stats);
    uint8_t codes[kChunk];
    for (size_t i = 0; i < shadow.size(); i += kChunk) {
      const size_t here = std::min(kChunk, shadow.size() - i);
      DorefaCodes(shadow.data() + i, here, tanh_max, levels_, codes);
      PackBits(codes, here, bits_, Bytes(target.data()) + i / 8 * bits_);
    }
  }

  absl::Status Validate(std::span<const std::byte> source,
                        size_t count) const override {
    TERSE_RETURN_IF_ERROR(CheckLength(source, EncodedBytes(count)));
    return CheckPadding(source.data(), count, bits_);
  }

  void Decode(std::span<const std::byte> source,
              std::span<float> weights) const override {
    uint8_t codes[kChunk];
    for (size_t i = 0; i < weights.size(); i += kChunk) {
      const size_t here = std::min(kChunk, weights.size() - i);
      UnpackBits(Bytes(source.data()) + i / 8 * bits_, here, bits_, codes);
      CodeLevels(codes, here, levels_, weights.data() + i);
    }
  }

  void ChainRule(std::span<const float> shadow, const QuantizeArgs& args,
                 std::span<float> gradient) const override {
    TERSE_CHECK(shadow.size() == gradient.size());
    const float tanh_max = TanhMax(args.weight_stats);
    // 1 / M must stay finite.
    if (tanh_max < std::numeric_limits<float>::min()) return;
    DorefaChain chain;
    chain.inverse_max = 1 / tanh_max;
    chain.max_abs = static_cast<float>(args.weight_stats.max_abs);
    if (args.gradient_stats.count > 0) {
      chain.max_share = static_cast<float>(
          args.gradient_stats.sum / (double{tanh_max} * tanh_max) /
          static_cast<double>(args.gradient_stats.count));
    }
    ApplyDorefaChain(chain, shadow.data(), shadow.size(), gradient.data());
  }

 private:
  const int bits_;
  const int levels_;
};

}  // namespace

std::unique_ptr<WeightQuantizer> MakeDorefa(int bits) {
  TERSE_CHECK(2 <= bits && bits <= 8);
  return std::make_unique<Dorefa>(bits);
}

}  // namespace terse
