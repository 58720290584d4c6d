#include "common/codec/one_bit_codec.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/codec/payload.h"
#include "common/kernels/levels.h"
#include "common/kernels/moments.h"
#include "common/kernels/pack.h"

namespace terse {
namespace {

// Signs as codes of one bit; a given norm leaves what is encoded alone.
constexpr LevelGrid kSigns = {.top = 1,
                              .code_bits = 1,
                              .norm = LevelNorm::kGiven,
                              .stochastic = false,
                              .bucket = SIZE_MAX};
// A norm of 1/2 and a weight of 2 decode to +1 and -1.
constexpr float kSignNorm = 0.5f;
constexpr float kSignWeight = 2.0f;

struct Means {
  float negative = 0;  // A magnitude.
  float positive = 0;
};

// In lanes, so that the order of adding is the same however it is compiled.
Means MeansOf(std::span<const float> x) {
  constexpr size_t kLanes = 8;
  double sums[2][kLanes] = {};
  double counts[2][kLanes] = {};
  for (size_t i = 0; i < x.size(); ++i) {
    const size_t lane = i % kLanes;
    const bool negative = std::signbit(x[i]);
    sums[0][lane] += negative ? -double{x[i]} : 0.0;
    sums[1][lane] += negative ? 0.0 : double{x[i]};
    counts[0][lane] += negative ? 1.0 : 0.0;
    counts[1][lane] += negative ? 0.0 : 1.0;
  }
  float means[2];
  for (int side : {0, 1}) {
    double sum = 0, count = 0;
    for (size_t lane = 0; lane < kLanes; ++lane) {
      sum += sums[side][lane];
      count += counts[side][lane];
    }
    means[side] = count > 0 ? static_cast<float>(sum / count) : 0.0f;
  }
  return {means[0], means[1]};
}

}  // namespace

std::string OneBitCodec::Describe() const {
  return absl::StrCat("onebit:bucket=", bucket_);
}

size_t OneBitCodec::MeanBytes(size_t count) const {
  return (count / bucket_ + (count % bucket_ != 0 ? 1 : 0)) * 2 * sizeof(float);
}

size_t OneBitCodec::MaxEncodedBytes(size_t count) const {
  return MeanBytes(count) + PackedCodeBytes(count, 1);
}

size_t OneBitCodec::TypicalEncodedBytes(size_t count) const {
  return MaxEncodedBytes(count);
}

absl::StatusOr<size_t> OneBitCodec::Encode(std::span<const float> values,
                                           const EncodeArgs& args,
                                           std::span<std::byte> target) const {
  const size_t count = values.size();
  TERSE_CHECK(target.size() >= MaxEncodedBytes(count));
  float* const residual = ResidualOf(args.residual);
  if (AddMaxAbs(values.data(), count, residual) >= kInfinityBits) {
    return NonFiniteError(values);
  }
  const float* const x = residual != nullptr ? residual : values.data();
  uint8_t norm[sizeof(float)];
  EncodeLevels(kSigns, x, count, 0, 0, nullptr, norm,
               BytesOf(target) + MeanBytes(count));
  uint8_t* mean = BytesOf(target);
  for (size_t start = 0; start < count; start += bucket_) {
    const size_t size = std::min(bucket_, count - start);
    const Means means = MeansOf({x + start, size});
    WriteFloat(means.negative, mean);
    WriteFloat(means.positive, mean + sizeof(float));
    mean += 2 * sizeof(float);
    if (residual == nullptr) continue;
    for (float& value : args.residual.subspan(start, size)) {
      value =
          std::signbit(value) ? value + means.negative : value - means.positive;
    }
  }
  return MaxEncodedBytes(count);
}

absl::Status OneBitCodec::Validate(std::span<const std::byte> source,
                                   size_t count) const {
  TERSE_RETURN_IF_ERROR(
      CheckSize("onebit", source.size(), MaxEncodedBytes(count)));
  TERSE_RETURN_IF_ERROR(
      CheckScales("onebit", BytesOf(source), MeanBytes(count) / sizeof(float)));
  const size_t last_bits = count % kPackGroup % 8;
  if (last_bits != 0 && BytesOf(source)[source.size() - 1] >> last_bits != 0) {
    return PaddingError("onebit");
  }
  return absl::OkStatus();
}

void OneBitCodec::DecodeAdd(std::span<const std::byte> source, float weight,
                            std::span<float> target) const {
  const size_t count = target.size();
  thread_local std::vector<float> signs;
  signs.assign(count, 0.0f);
  uint8_t norm[sizeof(float)];
  WriteFloat(kSignNorm, norm);
  DecodeAddLevels(kSigns, norm, BytesOf(source) + MeanBytes(count), count,
                  kSignWeight, signs.data());
  const uint8_t* mean = BytesOf(source);
  for (size_t start = 0; start < count; start += bucket_) {
    const float negative = -ReadFloat(mean) * weight;
    const float positive = ReadFloat(mean + sizeof(float)) * weight;
    mean += 2 * sizeof(float);
    const size_t end = std::min(start + bucket_, count);
    for (size_t i = start; i < end; ++i) {
      target[i] += signs[i] > 0 ? positive : negative;
    }
  }
}

}  // namespace terse
