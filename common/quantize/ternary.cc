#include "common/quantize/ternary.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "common/kernels/ternary.h"
#include "common/quantize/per_row.h"
#include "common/quantize/stats.h"
#include "common/quantize/wire.h"

namespace terse {
namespace {

// Whole groups of trits, so that a row can be packed in chunks.
constexpr size_t kChunk = 4 * kTritGroup;

constexpr float kThreshold = 0.75f;  // Of the mean magnitude.

float Trit(float weight, float threshold) {
  return weight > threshold ? 1.0f : weight < -threshold ? -1.0f : 0.0f;
}

// Mean magnitude of the weights beyond the threshold; NaN if a weight is.
float MeanBeyond(std::span<const float> row, float threshold) {
  double sum = 0;
  size_t count = 0;
  for (float weight : row) {
    const float magnitude = std::fabs(weight);
    if (magnitude <= threshold) continue;
    sum += magnitude;
    ++count;
  }
  return count == 0 ? 0 : static_cast<float>(sum / static_cast<double>(count));
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
    float trits[kChunk];
    for (size_t i = 0; i < row.size(); i += kChunk) {
      const size_t here = std::min(kChunk, row.size() - i);
      for (size_t k = 0; k < here; ++k) trits[k] = Trit(row[i + k], threshold);
      // With the scale 1 nothing is left to chance: 1 is kept, 0 never.
      EncodeTernary(trits, here, 1, 0, 0, nullptr,
                    Bytes(target + PackedTritBytes(i)));
    }
    return MeanBeyond(row, threshold);
  }

  absl::Status ValidateRow(const std::byte* source,
                           size_t count) const override {
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

  void DecodeRow(const std::byte* source, float scale,
                 std::span<float> row) const override {
    std::fill(row.begin(), row.end(), 0.0f);
    DecodeAddTernary(Bytes(source), row.size(), scale, row.data());
  }
};

}  // namespace

std::unique_ptr<WeightQuantizer> MakeTwn(size_t row_elements) {
  return std::make_unique<Twn>(row_elements);
}

}  // namespace terse
