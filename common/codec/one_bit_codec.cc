#include "common/codec/one_bit_codec.h"

#include <algorithm>
#include <cstdint>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/codec/payload.h"
#include "common/kernels/levels.h"
#include "common/kernels/moments.h"
#include "common/kernels/pack.h"
#include "common/kernels/sign_means.h"

namespace terse {
namespace {

// Signs as codes of one bit; a given norm leaves what is encoded alone.
constexpr LevelGrid kSigns = {.top = 1,
                              .code_bits = 1,
                              .norm = LevelNorm::kGiven,
                              .stochastic = false,
                              .bucket = SIZE_MAX};

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
    const SignMeans means = MeansBySign(x + start, size);
    WriteFloat(means.negative, mean);
    WriteFloat(means.positive, mean + sizeof(float));
    mean += 2 * sizeof(float);
    if (residual != nullptr) SubtractSignMeans(means, residual + start, size);
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
  AddSignMeans(BytesOf(source), BytesOf(source) + MeanBytes(target.size()),
               bucket_, target.size(), weight, target.data());
}

}  // namespace terse
