#include "common/quantize/binary.h"

#include <cmath>
#include <string>

#include "common/base/status.h"
#include "common/kernels/sign_bits.h"
#include "common/quantize/per_row.h"
#include "common/quantize/stats.h"
#include "common/quantize/straight_through.h"
#include "common/quantize/wire.h"

namespace terse {
namespace {

class BinaryConnect final : public StraightThrough {
 public:
  explicit BinaryConnect(bool stochastic) : stochastic_(stochastic) {}

  std::string Describe() const override {
    return stochastic_ ? "binaryconnect_stochastic" : "binaryconnect";
  }
  double BitsPerWeight() const override { return 1; }
  size_t EncodedBytes(size_t count) const override { return SignBytes(count); }

  void Encode(std::span<const float> shadow, const QuantizeArgs& args,
              std::span<std::byte> target) const override {
    TERSE_CHECK(target.size() == EncodedBytes(shadow.size()));
    if (stochastic_) {
      PackStochasticSigns(shadow.data(), shadow.size(), args.key,
                          args.first_index, Bytes(target.data()));
    } else {
      PackSigns(shadow.data(), shadow.size(), Bytes(target.data()));
    }
  }

  absl::Status Validate(std::span<const std::byte> source,
                        size_t count) const override {
    TERSE_RETURN_IF_ERROR(CheckLength(source, EncodedBytes(count)));
    return CheckPadding(source.data(), count, 1);
  }

  void Decode(std::span<const std::byte> source,
              std::span<float> weights) const override {
    UnpackSigns(Bytes(source.data()), weights.size(), 1, weights.data());
  }

  bool EvaluatesWithShadow() const override { return stochastic_; }
  float ShadowMax() const override { return 1; }

  std::optional<WeightGrid> Grid() const override {
    if (stochastic_) return std::nullopt;
    return WeightGrid{.step = 2, .max = 1, .has_zero = false};
  }

 private:
  const bool stochastic_;
};

class DorefaBinary final : public StraightThrough {
 public:
  std::string Describe() const override { return "dorefa:bits=1"; }
  double BitsPerWeight() const override { return 1; }
  bool NeedsWeightStats() const override { return true; }
  TensorStats WeightStats(std::span<const float> shadow) const override {
    return AbsoluteStats(shadow);
  }
  size_t EncodedBytes(size_t count) const override {
    return kScaleBytes + SignBytes(count);
  }

  void Encode(std::span<const float> shadow, const QuantizeArgs& args,
              std::span<std::byte> target) const override {
    TERSE_CHECK(target.size() == EncodedBytes(shadow.size()));
    WriteScale(MeanAbsolute(args.weight_stats), target.data());
    PackSigns(shadow.data(), shadow.size(), Bytes(target.data() + kScaleBytes));
  }

  absl::Status Validate(std::span<const std::byte> source,
                        size_t count) const override {
    TERSE_RETURN_IF_ERROR(CheckLength(source, EncodedBytes(count)));
    TERSE_RETURN_IF_ERROR(CheckScale(source.data()));
    return CheckPadding(source.data() + kScaleBytes, count, 1);
  }

  void Decode(std::span<const std::byte> source,
              std::span<float> weights) const override {
    UnpackSigns(Bytes(source.data() + kScaleBytes), weights.size(),
                ReadScale(source.data()), weights.data());
  }
};

float SignOf(float weight) { return weight >= 0 ? 1.0f : -1.0f; }

// Sum of gradient * sign(weight), in an order of its own so that additions
// need not wait for each other.
double SignedSum(std::span<const float> weights,
                 std::span<const float> gradient) {
  constexpr size_t kLanes = 8;
  double sums[kLanes] = {};
  size_t i = 0;
  for (; i + kLanes <= weights.size(); i += kLanes) {
    for (size_t lane = 0; lane < kLanes; ++lane) {
      sums[lane] += gradient[i + lane] * SignOf(weights[i + lane]);
    }
  }
  for (; i < weights.size(); ++i) {
    sums[i % kLanes] += gradient[i] * SignOf(weights[i]);
  }
  double sum = 0;
  for (double lane : sums) sum += lane;
  return sum;
}

class Bwn final : public PerRow {
 public:
  Bwn(size_t row_elements, bool paper_gradient)
      : PerRow(row_elements), paper_gradient_(paper_gradient) {}

  std::string Describe() const override {
    return paper_gradient_ ? "bwn:paper_gradient" : "bwn";
  }
  double BitsPerWeight() const override { return 1; }
  float ShadowMax() const override { return 1; }

  void ChainRule(std::span<const float> shadow, const QuantizeArgs&,
                 std::span<float> gradient) const override {
    for (size_t i = 0; i < shadow.size(); i += row_elements()) {
      const auto weights = RowAt(shadow, i);
      const auto g = RowAt(gradient, i);
      const float scale = MeanAbsolute(AbsoluteStats(weights));
      if (paper_gradient_) {
        TurnAsPrinted(weights, scale, g);
        continue;
      }
      const float mean = static_cast<float>(
          SignedSum(weights, g) / static_cast<double>(weights.size()));
      for (size_t k = 0; k < weights.size(); ++k) {
        const float direct = std::fabs(weights[k]) <= 1 ? scale * g[k] : 0;
        g[k] = direct + SignOf(weights[k]) * mean;
      }
    }
  }

 protected:
  size_t RowBytes(size_t count) const override { return SignBytes(count); }

  float EncodeRow(std::span<const float> row,
                  std::byte* target) const override {
    PackSigns(row.data(), row.size(), Bytes(target));
    return MeanAbsolute(AbsoluteStats(row));
  }

  absl::Status ValidateRow(const std::byte* source,
                           size_t count) const override {
    return CheckPadding(source, count, 1);
  }

  void DecodeRow(const std::byte* source, float scale,
                 std::span<float> row) const override {
    UnpackSigns(Bytes(source), row.size(), scale, row.data());
  }

 private:
  static void TurnAsPrinted(std::span<const float> weights, float scale,
                            std::span<float> gradient) {
    const float own = 1 / static_cast<float>(weights.size());
    for (size_t k = 0; k < weights.size(); ++k) {
      gradient[k] *= std::fabs(weights[k]) <= 1 ? own + scale : own;
    }
  }

  const bool paper_gradient_;
};

}  // namespace

std::unique_ptr<WeightQuantizer> MakeBinaryConnect(bool stochastic) {
  return std::make_unique<BinaryConnect>(stochastic);
}

std::unique_ptr<WeightQuantizer> MakeDorefaBinary() {
  return std::make_unique<DorefaBinary>();
}

std::unique_ptr<WeightQuantizer> MakeBwn(size_t row_elements,
                                         bool paper_gradient) {
  return std::make_unique<Bwn>(row_elements, paper_gradient);
}

}  // namespace terse
