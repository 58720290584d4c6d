#include "common/codec/sparse_codec.h"

#include <algorithm>
#include <bit>
#include <cfloat>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <numeric>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/random.h"
#include "common/base/status.h"
#include "common/codec/index_coding.h"
#include "common/codec/payload.h"
#include "common/codec/top_k.h"
#include "common/kernels/float_format.h"
#include "common/kernels/moments.h"
#include "common/kernels/select.h"

namespace terse {
namespace {

std::span<const uint8_t> ByteSpan(std::span<const std::byte> source) {
  return {BytesOf(source), source.size()};
}

// Writes the positions and their values of x; a residual (x itself) loses them.
size_t WriteKept(const float* x, std::span<const uint32_t> indices,
                 size_t count, float* residual, std::span<uint8_t> target) {
  uint8_t* kept = target.data() + EncodeIndices(indices, count, target);
  for (uint32_t index : indices) {
    WriteFloat(x[index], kept);
    kept += sizeof(float);
    if (residual != nullptr) residual[index] = 0;
  }
  return static_cast<size_t>(kept - target.data());
}

// Checks what WriteKept wrote.
absl::Status ValidateKept(const char* codec, std::span<const std::byte> source,
                          size_t count, size_t kept) {
  TERSE_ASSIGN_OR_RETURN(const size_t used,
                         ValidateIndices(ByteSpan(source), count, kept));
  TERSE_RETURN_IF_ERROR(
      CheckSize(codec, source.size(), used + kept * sizeof(float)));
  if (!AllFloatsFinite(FloatFormat::kBinary32, BytesOf(source) + used, kept)) {
    return absl::InvalidArgumentError(
        absl::StrCat(codec, " payload: a value is not finite"));
  }
  return absl::OkStatus();
}

// Adds what WriteKept wrote.
void AddKept(std::span<const std::byte> source, size_t kept, float weight,
             std::span<float> target) {
  const size_t value_bytes = kept * sizeof(float);
  IndexReader indices(ByteSpan(source.first(source.size() - value_bytes)));
  const uint8_t* value = BytesOf(source.last(value_bytes));
  for (size_t i = 0; i < kept; ++i, value += sizeof(float)) {
    target[indices.Next()] += weight * ReadFloat(value);
  }
}

// Stretch s of `kept` of a block, and the position in it that `key` draws.
struct Stretch {
  Stretch(size_t s, size_t kept, size_t count, uint64_t key) {
    const uint64_t start = s * uint64_t{count} / kept;
    const uint64_t elements = (s + 1) * uint64_t{count} / kept - start;
    position = start + (RandomBits(key, s) * elements >> 32);
    size = static_cast<float>(elements);
  }
  size_t position;
  float size;
};

}  // namespace

size_t TopKCodec::Kept(size_t count) const {
  const size_t kept = KeptCount(ratio_, count);
  // Positions that cost more than the dropped values would: all are kept.
  const size_t dropped_bytes = (count - kept) * sizeof(float);
  return MaxIndexBytes(count, kept) > 1 + dropped_bytes ? count : kept;
}

std::string TopKCodec::Describe() const {
  return absl::StrCat("topk:ratio=", ratio_);
}

size_t TopKCodec::MaxEncodedBytes(size_t count) const {
  return MaxIndexBytes(count, Kept(count)) + Kept(count) * sizeof(float);
}

size_t TopKCodec::TypicalEncodedBytes(size_t count) const {
  return TypicalIndexBytes(count, Kept(count)) + Kept(count) * sizeof(float);
}

absl::StatusOr<size_t> TopKCodec::Encode(std::span<const float> values,
                                         const EncodeArgs& args,
                                         std::span<std::byte> target) const {
  const size_t count = values.size();
  TERSE_CHECK(target.size() >= MaxEncodedBytes(count));
  if (count == 0) return size_t{0};
  thread_local TopKScratch scratch;
  float* const residual = ResidualOf(args.residual);
  std::span<const uint32_t> indices;
  if (!SelectTopK(values, residual, Kept(count), scratch, &indices)) {
    return NonFiniteError(values);
  }
  return WriteKept(residual != nullptr ? residual : values.data(), indices,
                   count, residual, {BytesOf(target), target.size()});
}

absl::Status TopKCodec::Validate(std::span<const std::byte> source,
                                 size_t count) const {
  return ValidateKept("topk", source, count, Kept(count));
}

void TopKCodec::DecodeAdd(std::span<const std::byte> source, float weight,
                          std::span<float> target) const {
  AddKept(source, Kept(target.size()), weight, target);
}

std::string ThresholdCodec::Describe() const {
  return absl::StrCat("threshold:threshold=", threshold_);
}

size_t ThresholdCodec::MaxEncodedBytes(size_t count) const {
  // With all elements kept there are no positions to code; with one less, a
  // bitmap at most.
  if (count == 0) return 0;
  return sizeof(uint32_t) + 1 + count * sizeof(float);
}

size_t ThresholdCodec::TypicalEncodedBytes(size_t count) const {
  // How many reach the threshold is known to nobody; one in a hundred.
  if (count == 0) return 0;
  const size_t kept = KeptCount(0.01, count);
  return sizeof(uint32_t) + TypicalIndexBytes(count, kept) +
         kept * sizeof(float);
}

absl::StatusOr<size_t> ThresholdCodec::Encode(
    std::span<const float> values, const EncodeArgs& args,
    std::span<std::byte> target) const {
  const size_t count = values.size();
  TERSE_CHECK(target.size() >= MaxEncodedBytes(count));
  if (count == 0) return size_t{0};
  thread_local std::vector<uint32_t> indices;
  indices.resize(count + kSelectSlack);
  float* const residual = ResidualOf(args.residual);
  size_t kept =
      SelectAtLeast(values.data(), count, residual,
                    std::bit_cast<uint32_t>(threshold_), indices.data());
  const float* const x = residual != nullptr ? residual : values.data();
  // Whatever is not finite reaches the threshold.
  for (size_t i = 0; i < kept; ++i) {
    if (!std::isfinite(x[indices[i]])) return NonFiniteError(values);
  }
  if (kept < count &&
      MaxIndexBytes(count, kept) > 1 + (count - kept) * sizeof(float)) {
    // Positions that cost more than the other values would: all are kept.
    std::iota(indices.begin(), indices.begin() + count, 0u);
    kept = count;
  }
  uint8_t* const bytes = BytesOf(target);
  const auto kept_field = static_cast<uint32_t>(kept);
  std::memcpy(bytes, &kept_field, sizeof(kept_field));
  return sizeof(kept_field) +
         WriteKept(
             x, std::span(indices).first(kept), count, residual,
             {bytes + sizeof(kept_field), target.size() - sizeof(kept_field)});
}

absl::Status ThresholdCodec::Validate(std::span<const std::byte> source,
                                      size_t count) const {
  if (count == 0) return CheckSize("threshold", source.size(), 0);
  if (source.size() < sizeof(uint32_t)) {
    return absl::DataLossError("threshold payload is cut short");
  }
  uint32_t kept;
  std::memcpy(&kept, source.data(), sizeof(kept));
  return ValidateKept("threshold", source.subspan(sizeof(kept)), count, kept);
}

void ThresholdCodec::DecodeAdd(std::span<const std::byte> source, float weight,
                               std::span<float> target) const {
  if (target.empty()) return;
  uint32_t kept;
  std::memcpy(&kept, source.data(), sizeof(kept));
  AddKept(source.subspan(sizeof(kept)), kept, weight, target);
}

std::string RandomKCodec::Describe() const {
  return absl::StrCat("randomk:ratio=", ratio_,
                      ",rescale=", rescale_ ? "true" : "false");
}

size_t RandomKCodec::MaxEncodedBytes(size_t count) const {
  if (count == 0) return 0;
  return sizeof(uint64_t) + KeptCount(ratio_, count) * sizeof(float);
}

size_t RandomKCodec::TypicalEncodedBytes(size_t count) const {
  return MaxEncodedBytes(count);
}

absl::StatusOr<size_t> RandomKCodec::Encode(std::span<const float> values,
                                            const EncodeArgs& args,
                                            std::span<std::byte> target) const {
  const size_t count = values.size();
  TERSE_CHECK(target.size() >= MaxEncodedBytes(count));
  if (count == 0) return size_t{0};
  float* const residual = ResidualOf(args.residual);
  if (AddMaxAbs(values.data(), count, residual) >= kInfinityBits) {
    return NonFiniteError(values);
  }
  const float* const x = residual != nullptr ? residual : values.data();
  uint8_t* const bytes = BytesOf(target);
  const uint64_t key = MixKey({args.key, args.first_index});
  std::memcpy(bytes, &key, sizeof(key));
  const size_t kept = KeptCount(ratio_, count);
  for (size_t s = 0; s < kept; ++s) {
    const Stretch stretch(s, kept, count, key);
    const float value = x[stretch.position];
    const float sent =
        rescale_ ? std::clamp(value * stretch.size, -FLT_MAX, FLT_MAX) : value;
    WriteFloat(sent, bytes + sizeof(key) + s * sizeof(float));
    if (residual != nullptr) residual[stretch.position] = value - sent;
  }
  return MaxEncodedBytes(count);
}

absl::Status RandomKCodec::Validate(std::span<const std::byte> source,
                                    size_t count) const {
  TERSE_RETURN_IF_ERROR(
      CheckSize("randomk", source.size(), MaxEncodedBytes(count)));
  if (count == 0) return absl::OkStatus();
  if (!AllFloatsFinite(FloatFormat::kBinary32,
                       BytesOf(source) + sizeof(uint64_t),
                       KeptCount(ratio_, count))) {
    return absl::InvalidArgumentError("randomk payload: a value is not finite");
  }
  return absl::OkStatus();
}

void RandomKCodec::DecodeAdd(std::span<const std::byte> source, float weight,
                             std::span<float> target) const {
  if (target.empty()) return;
  uint64_t key;
  std::memcpy(&key, source.data(), sizeof(key));
  const size_t kept = KeptCount(ratio_, target.size());
  const uint8_t* value = BytesOf(source) + sizeof(key);
  for (size_t s = 0; s < kept; ++s, value += sizeof(float)) {
    const Stretch stretch(s, kept, target.size(), key);
    target[stretch.position] += weight * ReadFloat(value);
  }
}

}  // namespace terse
