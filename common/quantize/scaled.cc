#include "common/quantize/scaled.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/kernels/pack_bits.h"
#include "common/kernels/weight_codes.h"
#include "common/quantize/stats.h"
#include "common/quantize/straight_through.h"
#include "common/quantize/wire.h"

namespace terse {
namespace {

// Codes pass through a buffer on the stack; a multiple of 8, so that every
// chunk ends on a byte.
constexpr size_t kChunk = 1024;

// What methods have that take their range from the weights.
struct RangeOfWeights {
  float fixed_max() const { return 0; }
};

class UniformMethod {
 public:
  UniformMethod(int bits, float fixed_max)
      : bits_(bits), top_((1 << (bits - 1)) - 1), fixed_max_(fixed_max) {}
  std::string Describe() const {
    std::string name = absl::StrCat("uniform:bits=", bits_);
    if (fixed_max_ > 0) absl::StrAppend(&name, ",max=", fixed_max_);
    return name;
  }
  int wire_bits() const { return bits_; }
  int codes() const { return 2 * top_ + 1; }
  float fixed_max() const { return fixed_max_; }
  float Scale(const TensorStats& stats) const {
    const float max =
        fixed_max_ > 0 ? fixed_max_ : static_cast<float>(stats.max_abs);
    return max / static_cast<float>(top_);
  }
  void Codes(std::span<const float> weights, float scale,
             uint8_t* codes) const {
    UniformCodes(weights.data(), weights.size(), scale, top_, codes);
  }
  float Level(int code) const { return static_cast<float>(code - top_); }

 private:
  int bits_;
  int top_;
  float fixed_max_;
};

class FlexpointMethod : public RangeOfWeights {
 public:
  explicit FlexpointMethod(int bits)
      : bits_(bits), top_((1 << (bits - 1)) - 1) {}
  std::string Describe() const {
    return absl::StrCat("flexpoint:bits=", bits_);
  }
  int wire_bits() const { return bits_; }
  int codes() const { return 2 * top_ + 1; }
  // The least power of two with which the largest weight needs no clipping.
  float Scale(const TensorStats& stats) const {
    const double least = stats.max_abs / top_;
    if (!(least > 0) || !std::isfinite(least)) {
      return static_cast<float>(least);
    }
    int exponent;
    const bool power = std::frexp(least, &exponent) == 0.5;
    return std::ldexp(1.0f, power ? exponent - 1 : exponent);
  }
  void Codes(std::span<const float> weights, float scale,
             uint8_t* codes) const {
    UniformCodes(weights.data(), weights.size(), scale, top_, codes);
  }
  float Level(int code) const { return static_cast<float>(code - top_); }

 private:
  int bits_;
  int top_;
};

class LogarithmicMethod : public RangeOfWeights {
 public:
  explicit LogarithmicMethod(int bits)
      : bits_(bits), top_((1 << (bits - 1)) - 1) {
    for (int q = -top_; q <= top_; ++q) {
      const int digits = std::bit_width(static_cast<unsigned>(std::abs(q)));
      leading_[q + top_] =
          static_cast<uint8_t>(bits_ - 1 + (q < 0 ? -digits : digits));
    }
  }
  std::string Describe() const {
    return absl::StrCat("logarithmic:bits=", bits_);
  }
  int wire_bits() const { return std::bit_width(2u * (bits_ - 1)); }
  int codes() const { return 2 * bits_ - 1; }
  float Scale(const TensorStats& stats) const {
    return static_cast<float>(stats.max_abs) / static_cast<float>(top_);
  }
  // The middle code is zero; from there outwards 1, 2, 4 ...
  void Codes(std::span<const float> weights, float scale,
             uint8_t* codes) const {
    UniformCodes(weights.data(), weights.size(), scale, top_, codes);
    for (size_t i = 0; i < weights.size(); ++i) codes[i] = leading_[codes[i]];
  }
  float Level(int code) const {
    const int digits = code - (bits_ - 1);
    if (digits == 0) return 0;
    const float power = std::ldexp(1.0f, std::abs(digits) - 1);
    return digits < 0 ? -power : power;
  }

 private:
  int bits_;
  int top_;
  uint8_t leading_[255] = {};  // By uniform code: the code of its leading one.
};

class BalancedMethod : public RangeOfWeights {
 public:
  BalancedMethod(int bits, bool from_max)
      : bits_(bits), top_((1 << bits) - 1), from_max_(from_max) {}
  std::string Describe() const {
    return absl::StrCat("balanced:bits=", bits_,
                        from_max_ ? ",balance=unbalanced" : "");
  }
  int wire_bits() const { return bits_; }
  int codes() const { return top_ + 1; }
  float Scale(const TensorStats& stats) const {
    return from_max_ ? 2.0f * static_cast<float>(stats.max_abs)
                     : 2.5f * MeanAbsolute(stats);
  }
  void Codes(std::span<const float> weights, float scale,
             uint8_t* codes) const {
    CenteredCodes(weights.data(), weights.size(), scale, top_, codes);
  }
  float Level(int code) const {
    return static_cast<float>(2 * code - top_) / static_cast<float>(2 * top_);
  }

 private:
  int bits_;
  int top_;
  bool from_max_;
};

// Codes by rank; Prepare is told the block.
class MedianMethod : public BalancedMethod {
 public:
  explicit MedianMethod(int bits) : BalancedMethod(bits, false) {}
  std::string Describe() const {
    return BalancedMethod::Describe() + ",balance=median";
  }
  // The least weight of every code but the first.
  std::vector<float> Prepare(std::span<const float> block) const {
    std::vector<float> weights(block.begin(), block.end());
    for (float& weight : weights) {
      if (std::isnan(weight)) weight = 0;  // An order needs numbers.
    }
    std::vector<float> medians;
    AddMedians(weights, wire_bits(), 0, medians);
    return medians;
  }
  static void Codes(std::span<const float> weights,
                    const std::vector<float>& medians, uint8_t* codes) {
    for (const float weight : weights) {
      *codes++ = static_cast<uint8_t>(
          std::upper_bound(medians.begin(), medians.end(), weight) -
          medians.begin());
    }
  }

 private:
  // Reorders `weights`; the medians come out in their order. `median` stands in
  // for that of nothing.
  static void AddMedians(std::span<float> weights, int depth, float median,
                         std::vector<float>& medians) {
    if (depth == 0) return;
    const size_t middle = weights.size() / 2;
    if (!weights.empty()) {
      const auto place = weights.begin() + static_cast<ptrdiff_t>(middle);
      std::nth_element(weights.begin(), place, weights.end());
      median = *place;
    }
    AddMedians(weights.first(middle), depth - 1, median, medians);
    medians.push_back(median);
    AddMedians(weights.subspan(middle), depth - 1, median, medians);
  }
};

// One scale, then a bit string; the weight of code c is scale * Level(c).
template <typename Method>
class Scaled final : public StraightThrough {
 public:
  explicit Scaled(Method method) : method_(method) {
    for (int c = 0; c < method_.codes(); ++c) levels_[c] = method_.Level(c);
  }

  std::string Describe() const override { return method_.Describe(); }
  double BitsPerWeight() const override { return method_.wire_bits(); }
  bool NeedsWeightStats() const override { return method_.fixed_max() == 0; }
  float ShadowMax() const override {
    return method_.fixed_max() > 0 ? method_.fixed_max()
                                   : std::numeric_limits<float>::infinity();
  }
  std::optional<WeightGrid> Grid() const override {
    if (method_.fixed_max() == 0) return std::nullopt;
    const float step = method_.Scale({});
    return WeightGrid{.step = step, .max = step * levels_[method_.codes() - 1]};
  }
  TensorStats WeightStats(std::span<const float> shadow) const override {
    return AbsoluteStats(shadow);
  }
  size_t EncodedBytes(size_t count) const override {
    return kScaleBytes + PackedBytes(count, method_.wire_bits());
  }

  void Encode(std::span<const float> shadow, const QuantizeArgs& args,
              std::span<std::byte> target) const override {
    TERSE_CHECK(target.size() == EncodedBytes(shadow.size()));
    const float scale = method_.Scale(args.weight_stats);
    // What codes are made by: the scale, or what the block itself says.
    const auto by = [&] {
      if constexpr (requires { method_.Prepare(shadow); }) {
        return method_.Prepare(shadow);
      } else {
        return scale;
      }
    }();
    const int bits = method_.wire_bits();
    WriteScale(scale, target.data());
    uint8_t* packed = Bytes(target.data() + kScaleBytes);
    uint8_t codes[kChunk];
    for (size_t i = 0; i < shadow.size(); i += kChunk) {
      const size_t here = std::min(kChunk, shadow.size() - i);
      method_.Codes(shadow.subspan(i, here), by, codes);
      PackBits(codes, here, bits, packed + i / 8 * bits);
    }
  }

  absl::Status Validate(std::span<const std::byte> source,
                        size_t count) const override {
    TERSE_RETURN_IF_ERROR(CheckLength(source, EncodedBytes(count)));
    TERSE_RETURN_IF_ERROR(CheckScale(source.data()));
    // The outermost weight must be finite too.
    if (!std::isfinite(ReadScale(source.data()) *
                       levels_[method_.codes() - 1])) {
      return absl::InvalidArgumentError("scale of weight codes is too large");
    }
    const std::byte* packed = source.data() + kScaleBytes;
    TERSE_RETURN_IF_ERROR(CheckPadding(packed, count, method_.wire_bits()));
    uint8_t largest = 0;
    ForChunks(packed, count, [&](const uint8_t* codes, size_t, size_t here) {
      largest = std::max(largest, *std::max_element(codes, codes + here));
    });
    if (largest < method_.codes()) return absl::OkStatus();
    return absl::DataLossError(absl::StrCat("weight code ", int{largest},
                                            " of ", Describe(),
                                            " is not below ", method_.codes()));
  }

  void Decode(std::span<const std::byte> source,
              std::span<float> weights) const override {
    const float scale = ReadScale(source.data());
    ForChunks(source.data() + kScaleBytes, weights.size(),
              [&](const uint8_t* codes, size_t begin, size_t here) {
                for (size_t k = 0; k < here; ++k) {
                  weights[begin + k] = scale * levels_[codes[k]];
                }
              });
  }

 private:
  // Calls body(codes, index of the first, number).
  template <typename Body>
  void ForChunks(const std::byte* packed, size_t count,
                 const Body& body) const {
    const int bits = method_.wire_bits();
    uint8_t codes[kChunk];
    for (size_t i = 0; i < count; i += kChunk) {
      const size_t here = std::min(kChunk, count - i);
      UnpackBits(Bytes(packed) + i / 8 * bits, here, bits, codes);
      body(codes, i, here);
    }
  }

  const Method method_;
  float levels_[256] = {};
};

}  // namespace

std::unique_ptr<WeightQuantizer> MakeUniform(int bits, float max) {
  TERSE_CHECK(2 <= bits && bits <= 8);
  return std::make_unique<Scaled<UniformMethod>>(UniformMethod(bits, max));
}

std::unique_ptr<WeightQuantizer> MakeFlexpoint(int bits) {
  TERSE_CHECK(2 <= bits && bits <= 8);
  return std::make_unique<Scaled<FlexpointMethod>>(FlexpointMethod(bits));
}

std::unique_ptr<WeightQuantizer> MakeLogarithmic(int bits) {
  TERSE_CHECK(2 <= bits && bits <= 8);
  return std::make_unique<Scaled<LogarithmicMethod>>(LogarithmicMethod(bits));
}

std::unique_ptr<WeightQuantizer> MakeBalanced(
    int bits, WeightQuantization::Balance balance) {
  TERSE_CHECK(1 <= bits && bits <= 8);
  if (balance == WeightQuantization::MEDIAN) {
    return std::make_unique<Scaled<MedianMethod>>(MedianMethod(bits));
  }
  return std::make_unique<Scaled<BalancedMethod>>(
      BalancedMethod(bits, balance == WeightQuantization::UNBALANCED));
}

}  // namespace terse
