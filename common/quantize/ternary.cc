#include "common/quantize/ternary.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/kernels/ternary.h"
#include "common/kernels/weight_codes.h"
#include "common/quantize/per_row.h"
#include "common/quantize/stats.h"
#include "common/quantize/wire.h"

namespace terse {
namespace {

// Whole groups of trits, so that a row can be packed in chunks.
constexpr size_t kChunk = 4 * kTritGroup;

constexpr float kThreshold = 0.75f;  // Of the mean magnitude.

// Writes PackedTritBytes(weights.size()) bytes.
void PackTrits(std::span<const float> weights, float threshold,
               std::byte* target) {
  float trits[kChunk];
  for (size_t i = 0; i < weights.size(); i += kChunk) {
    const size_t here = std::min(kChunk, weights.size() - i);
    ThresholdTrits(weights.data() + i, here, threshold, trits);
    // With the scale 1 nothing is left to chance: 1 is kept, 0 never.
    EncodeTernary(trits, here, 1, 0, 0, nullptr,
                  Bytes(target + PackedTritBytes(i)));
  }
}

absl::Status CheckTrits(const std::byte* source, size_t count) {
  const size_t bytes = PackedTritBytes(count);
  bool valid = MaxByte(Bytes(source), bytes) < kTritCodes;
  uint32_t last_codes = 1;  // Of the digits that the last byte has.
  for (size_t k = 0; k < count % kTritGroup % kTritsPerByte; ++k) {
    last_codes *= 3;
  }
  if (last_codes > 1) valid = valid && Bytes(source)[bytes - 1] < last_codes;
  if (valid) return absl::OkStatus();
  return absl::DataLossError("ternary weight codes hold no trits");
}

// Mean magnitude of the weights beyond the threshold; NaN if a weight is. Added
// in lanes.
float MeanBeyond(std::span<const float> row, float threshold) {
  constexpr size_t kLanes = 8;
  double sums[kLanes] = {};
  double counts[kLanes] = {};
  float trits[kChunk];
  for (size_t i = 0; i < row.size(); i += kChunk) {
    const size_t here = std::min(kChunk, row.size() - i);
    ThresholdTrits(row.data() + i, here, threshold, trits);
    // A weight times its trit is its magnitude, or 0, or NaN.
    const float* const weights = row.data() + i;
    size_t k = 0;
    for (; k + kLanes <= here; k += kLanes) {
      for (size_t lane = 0; lane < kLanes; ++lane) {
        const float trit = trits[k + lane];
        sums[lane] += weights[k + lane] * trit;
        counts[lane] += trit * trit;
      }
    }
    for (size_t lane = 0; k < here; ++k, ++lane) {
      sums[lane] += weights[k] * trits[k];
      counts[lane] += trits[k] * trits[k];
    }
  }
  double sum = 0, count = 0;
  for (const double part : sums) sum += part;
  for (const double part : counts) count += part;
  return std::isnan(sum) ? static_cast<float>(sum)
         : count == 0    ? 0
                         : static_cast<float>(sum / count);
}

class Twn final : public PerRow {
 public:
  explicit Twn(size_t row_elements) : PerRow(row_elements) {}

  std::string Describe() const override { return "twn"; }
  double BitsPerWeight() const override { return 8.0 / kTritsPerByte; }

 protected:
  size_t RowBytes(size_t count) const override {
    return PackedTritBytes(count);
  }

  float EncodeRow(std::span<const float> row,
                  std::byte* target) const override {
    const float threshold = kThreshold * MeanAbsolute(AbsoluteStats(row));
    PackTrits(row, threshold, target);
    return MeanBeyond(row, threshold);
  }

  absl::Status ValidateRow(const std::byte* source,
                           size_t count) const override {
    return CheckTrits(source, count);
  }

  void DecodeRow(const std::byte* source, float scale,
                 std::span<float> row) const override {
    std::fill(row.begin(), row.end(), 0.0f);
    DecodeAddTernary(Bytes(source), row.size(), scale, row.data());
  }
};

// Two scales, then trits.
class Ttq final : public WeightQuantizer {
 public:
  explicit Ttq(float threshold) : threshold_(threshold) {}

  std::string Describe() const override {
    return absl::StrCat("ttq:threshold=", threshold_);
  }
  double BitsPerWeight() const override { return 8.0 / kTritsPerByte; }
  bool NeedsWeightStats() const override { return true; }
  bool NeedsGradientStats() const override { return true; }
  bool EvaluatesWithShadow() const override { return false; }
  size_t LearnedScales() const override { return 2; }

  TensorStats WeightStats(std::span<const float> shadow) const override {
    return AbsoluteStats(shadow);
  }

  // The gradients of the positive and of the negative scale.
  TensorStats GradientStats(std::span<const float> shadow,
                            std::span<const float> gradient,
                            const QuantizeArgs& args) const override {
    const float threshold = Threshold(args);
    TensorStats stats = {.count = shadow.size()};
    for (size_t i = 0; i < shadow.size(); ++i) {
      stats.sum += shadow[i] > threshold ? gradient[i] : 0.0f;
      stats.second_sum -= shadow[i] < -threshold ? gradient[i] : 0.0f;
    }
    return stats;
  }

  size_t EncodedBytes(size_t count) const override {
    return 2 * kScaleBytes + PackedTritBytes(count);
  }

  void Encode(std::span<const float> shadow, const QuantizeArgs& args,
              std::span<std::byte> target) const override {
    TERSE_CHECK(target.size() == EncodedBytes(shadow.size()));
    TERSE_CHECK(args.learned.size() == 2);
    WriteScale(args.learned[0], target.data());
    WriteScale(args.learned[1], target.data() + kScaleBytes);
    PackTrits(shadow, Threshold(args), target.data() + 2 * kScaleBytes);
  }

  absl::Status Validate(std::span<const std::byte> source,
                        size_t count) const override {
    TERSE_RETURN_IF_ERROR(CheckLength(source, EncodedBytes(count)));
    TERSE_RETURN_IF_ERROR(CheckScale(source.data()));
    TERSE_RETURN_IF_ERROR(CheckScale(source.data() + kScaleBytes));
    return CheckTrits(source.data() + 2 * kScaleBytes, count);
  }

  void Decode(std::span<const std::byte> source,
              std::span<float> weights) const override {
    const float positive = ReadScale(source.data());
    const float negative = -ReadScale(source.data() + kScaleBytes);
    std::fill(weights.begin(), weights.end(), 0.0f);
    DecodeAddTernary(Bytes(source.data() + 2 * kScaleBytes), weights.size(), 1,
                     weights.data());
    PutScales(positive, negative, weights.size(), weights.data());
  }

  void ChainRule(std::span<const float> shadow, const QuantizeArgs& args,
                 std::span<float> gradient) const override {
    TERSE_CHECK(args.learned.size() == 2);
    ScaleBySide(shadow.data(), shadow.size(), Threshold(args), args.learned[0],
                args.learned[1], gradient.data());
  }

 private:
  float Threshold(const QuantizeArgs& args) const {
    return threshold_ * static_cast<float>(args.weight_stats.max_abs);
  }

  const float threshold_;
};

}  // namespace

std::unique_ptr<WeightQuantizer> MakeTtq(float threshold) {
  return std::make_unique<Ttq>(threshold);
}

std::unique_ptr<WeightQuantizer> MakeTwn(size_t row_elements) {
  return std::make_unique<Twn>(row_elements);
}

}  // namespace terse
