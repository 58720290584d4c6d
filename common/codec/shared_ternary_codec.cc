#include "common/codec/shared_ternary_codec.h"

#include <optional>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/codec/payload.h"
#include "common/codec/terngrad_codec.h"
#include "common/kernels/level_sum.h"
#include "common/kernels/moments.h"
#include "common/kernels/ternary.h"

namespace terse {
namespace {

constexpr char kName[] = "shared terngrad";
constexpr size_t kScaleBytes = sizeof(float);

// Codes that the last byte of `count` > 0 trits can hold.
uint32_t LastByteCodes(size_t count) {
  const size_t trits = count % kTritGroup % kTritsPerByte;
  uint32_t codes = 1;
  for (size_t i = 0; i < trits; ++i) codes *= 3;
  return trits == 0 ? kTritCodes : codes;
}

// With the worker's own scale unless `agreed` has another.
absl::StatusOr<size_t> EncodeTrits(std::span<const float> values,
                                   const EncodeArgs& args, float clip_sigmas,
                                   std::optional<float> agreed,
                                   std::span<std::byte> target) {
  const size_t count = values.size();
  if (count == 0) return size_t{0};
  float* const residual = ResidualOf(args.residual);
  const BlockMoments moments = AddMoments(values.data(), count, residual);
  if (!moments.finite()) return NonFiniteError(values);
  const float own = TernGradScale(moments, count, clip_sigmas);
  WriteFloat(own, BytesOf(target));
  EncodeTernary(residual != nullptr ? residual : values.data(), count,
                agreed.value_or(own), args.key, args.first_index, residual,
                BytesOf(target) + kScaleBytes);
  return kScaleBytes + PackedTritBytes(count);
}

}  // namespace

std::string SharedTernaryCodec::Describe() const {
  return absl::StrCat("terngrad:clip_sigmas=", clip_sigmas_, ",scale=shared");
}

size_t SharedTernaryCodec::MaxEncodedBytes(size_t count) const {
  return count == 0 ? 0 : kScaleBytes + PackedTritBytes(count);
}

size_t SharedTernaryCodec::TypicalEncodedBytes(size_t count) const {
  return MaxEncodedBytes(count);
}

absl::StatusOr<size_t> SharedTernaryCodec::Encode(
    std::span<const float> values, const EncodeArgs& args,
    std::span<std::byte> target) const {
  TERSE_CHECK(target.size() >= MaxEncodedBytes(values.size()));
  return EncodeTrits(values, args, clip_sigmas_, std::nullopt, target);
}

absl::StatusOr<size_t> SharedTernaryCodec::EncodeShared(
    std::span<const float> values, const EncodeArgs& args, float scale,
    std::span<std::byte> target) const {
  TERSE_CHECK(target.size() >= MaxEncodedBytes(values.size()));
  return EncodeTrits(values, args, clip_sigmas_, scale, target);
}

absl::Status SharedTernaryCodec::Validate(std::span<const std::byte> source,
                                          size_t count) const {
  TERSE_RETURN_IF_ERROR(
      CheckSize(kName, source.size(), MaxEncodedBytes(count)));
  if (count == 0) return absl::OkStatus();
  TERSE_RETURN_IF_ERROR(CheckScales(kName, BytesOf(source), 1));
  const uint8_t* const packed = BytesOf(source) + kScaleBytes;
  const size_t bytes = PackedTritBytes(count);
  const uint8_t max = MaxByte(packed, bytes);
  if (max >= kTritCodes) {
    return absl::DataLossError(
        absl::StrCat(kName, " payload: byte ", max, " is no five trits"));
  }
  if (packed[bytes - 1] >= LastByteCodes(count)) return PaddingError(kName);
  return absl::OkStatus();
}

void SharedTernaryCodec::DecodeAdd(std::span<const std::byte> source,
                                   float weight,
                                   std::span<float> target) const {
  if (target.empty()) return;
  DecodeAddTernary(BytesOf(source) + kScaleBytes, target.size(),
                   OwnScale(source) * weight, target.data());
}

float SharedTernaryCodec::OwnScale(std::span<const std::byte> source) const {
  return source.empty() ? 0 : ReadFloat(BytesOf(source));
}

void SharedTernaryCodec::AddLevels(std::span<const std::byte> source,
                                   std::span<int8_t> sums) const {
  if (sums.empty()) return;
  AddTernary(BytesOf(source) + kScaleBytes, sums.size(), sums.data());
}
void SharedTernaryCodec::AddLevels(std::span<const std::byte> source,
                                   std::span<int16_t> sums) const {
  if (sums.empty()) return;
  AddTernary(BytesOf(source) + kScaleBytes, sums.size(), sums.data());
}
void SharedTernaryCodec::AddLevels(std::span<const std::byte> source,
                                   std::span<int32_t> sums) const {
  if (sums.empty()) return;
  AddTernary(BytesOf(source) + kScaleBytes, sums.size(), sums.data());
}

}  // namespace terse
