#include "common/quantize/piecewise.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/kernels/moments.h"
#include "common/kernels/pack_bits.h"
#include "common/kernels/weight_codes.h"
#include "common/quantize/straight_through.h"
#include "common/quantize/wire.h"

namespace terse {
namespace {

// Codes pass through a buffer on the stack; a multiple of 8, so that every
// chunk ends on a byte.
constexpr size_t kChunk = 1024;

// Natural logarithm of x > 0 from additions, products and quotients alone: that
// of the C library may differ in its last bit from one CPU to another.
double Log(double x) {
  int exponent;
  double fraction = std::frexp(x, &exponent);  // In [1/2, 1).
  if (fraction < 0.7071067811865476) {
    fraction *= 2;
    --exponent;
  }
  // ln f = 2 artanh t; t^2 is below 0.03, so 12 terms are enough.
  const double t = (fraction - 1) / (fraction + 1);
  double sum = 0;
  for (int n = 23; n > 0; n -= 2) sum = sum * t * t + 1.0 / n;
  return 2 * t * sum + exponent * 0.6931471805599453;
}

// Codes ascend with the weights: the outer negative ones, the inner, the outer
// positive ones.
class Piecewise final : public StraightThrough {
 public:
  explicit Piecewise(int bits)
      : bits_(bits), top_((1 << (bits - 1)) - 1), outer_(1 << (bits - 1)) {}

  std::string Describe() const override {
    return absl::StrCat("pwlq:bits=", bits_);
  }
  double BitsPerWeight() const override { return wire_bits(); }
  bool NeedsWeightStats() const override { return true; }

  TensorStats WeightStats(std::span<const float> shadow) const override {
    const BlockMoments moments =
        AddMoments(shadow.data(), shadow.size(), nullptr);
    return {.max_abs = moments.max_abs(),
            .second_sum = moments.sum_squares,
            .count = shadow.size()};
  }

  size_t EncodedBytes(size_t count) const override {
    return 2 * kScaleBytes + PackedBytes(count, wire_bits());
  }

  void Encode(std::span<const float> shadow, const QuantizeArgs& args,
              std::span<std::byte> target) const override {
    TERSE_CHECK(target.size() == EncodedBytes(shadow.size()));
    const Regions regions = RegionsOf(args.weight_stats);
    WriteScale(regions.breakpoint, target.data());
    WriteScale(regions.max, target.data() + kScaleBytes);
    uint8_t* packed = Bytes(target.data() + 2 * kScaleBytes);
    const PiecewiseGrid grid = {.breakpoint = regions.breakpoint,
                                .inner_step = regions.inner_step,
                                .outer_step = regions.outer_step,
                                .inner = top_,
                                .outer = outer_};
    uint8_t codes[kChunk];
    for (size_t i = 0; i < shadow.size(); i += kChunk) {
      const size_t here = std::min(kChunk, shadow.size() - i);
      PiecewiseCodes(shadow.data() + i, here, grid, codes);
      PackBits(codes, here, wire_bits(), packed + i / 8 * wire_bits());
    }
  }

  absl::Status Validate(std::span<const std::byte> source,
                        size_t count) const override {
    TERSE_RETURN_IF_ERROR(CheckLength(source, EncodedBytes(count)));
    TERSE_RETURN_IF_ERROR(CheckScale(source.data()));
    TERSE_RETURN_IF_ERROR(CheckScale(source.data() + kScaleBytes));
    const Regions regions = ReadRegions(source);
    if (regions.breakpoint > regions.max ||
        !std::isfinite(Weight(regions, code_count() - 1))) {
      return absl::InvalidArgumentError(
          absl::StrCat("weight codes have the breakpoint ", regions.breakpoint,
                       " and the largest magnitude ", regions.max));
    }
    const std::byte* packed = source.data() + 2 * kScaleBytes;
    TERSE_RETURN_IF_ERROR(CheckPadding(packed, count, wire_bits()));
    bool valid = true;
    ForChunks(packed, count, [&](const uint8_t* codes, size_t, size_t here) {
      valid = valid && *std::max_element(codes, codes + here) < code_count();
    });
    if (valid) return absl::OkStatus();
    return absl::DataLossError(absl::StrCat("a weight code of ", Describe(),
                                            " is not below ", code_count()));
  }

  void Decode(std::span<const std::byte> source,
              std::span<float> weights) const override {
    const Regions regions = ReadRegions(source);
    float table[256];
    for (int c = 0; c < code_count(); ++c) table[c] = Weight(regions, c);
    ForChunks(source.data() + 2 * kScaleBytes, weights.size(),
              [&](const uint8_t* codes, size_t begin, size_t here) {
                for (size_t k = 0; k < here; ++k) {
                  weights[begin + k] = table[codes[k]];
                }
              });
  }

 private:
  struct Regions {
    float breakpoint = 0;
    float max = 0;
    float inner_step = 0;
    float outer_step = 0;
  };

  int wire_bits() const { return bits_ + 1; }
  int code_count() const { return 2 * top_ + 1 + 2 * outer_; }

  Regions MakeRegions(float breakpoint, float max) const {
    return {.breakpoint = breakpoint,
            .max = max,
            .inner_step = breakpoint / static_cast<float>(top_),
            .outer_step = (max - breakpoint) / static_cast<float>(outer_ - 1)};
  }

  Regions RegionsOf(const TensorStats& stats) const {
    if (!(stats.second_sum > 0)) {  // Zeros, nothing, or NaN.
      const float max = static_cast<float>(stats.max_abs);
      return MakeRegions(max, max);
    }
    const double sigma =
        std::sqrt(stats.second_sum / static_cast<double>(stats.count));
    const double breakpoint =
        sigma * Log(0.86143114 * stats.max_abs / sigma + 0.607901097);
    return MakeRegions(static_cast<float>(std::min(breakpoint, stats.max_abs)),
                       static_cast<float>(stats.max_abs));
  }

  Regions ReadRegions(std::span<const std::byte> source) const {
    return MakeRegions(ReadScale(source.data()),
                       ReadScale(source.data() + kScaleBytes));
  }

  float Weight(const Regions& regions, int code) const {
    if (code < outer_) return -Outer(regions, outer_ - 1 - code);
    const int inner = code - outer_;
    if (inner <= 2 * top_) {
      return static_cast<float>(inner - top_) * regions.inner_step;
    }
    return Outer(regions, inner - 2 * top_ - 1);
  }

  static float Outer(const Regions& regions, int j) {
    return regions.breakpoint + static_cast<float>(j) * regions.outer_step;
  }

  // Calls body(codes, index of the first, number).
  template <typename Body>
  void ForChunks(const std::byte* packed, size_t count,
                 const Body& body) const {
    uint8_t codes[kChunk];
    for (size_t i = 0; i < count; i += kChunk) {
      const size_t here = std::min(kChunk, count - i);
      UnpackBits(Bytes(packed) + i / 8 * wire_bits(), here, wire_bits(), codes);
      body(codes, i, here);
    }
  }

  const int bits_;
  const int top_;    // Inner steps to either side of 0.
  const int outer_;  // Weights of each outer region.
};

}  // namespace

std::unique_ptr<WeightQuantizer> MakePiecewise(int bits) {
  TERSE_CHECK(2 <= bits && bits <= 7);
  return std::make_unique<Piecewise>(bits);
}

}  // namespace terse
