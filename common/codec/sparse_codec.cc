#include "common/codec/sparse_codec.h"

#include <cstdint>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/codec/index_coding.h"
#include "common/codec/payload.h"
#include "common/codec/top_k.h"
#include "common/kernels/float_format.h"

namespace terse {
namespace {

std::span<const uint8_t> ByteSpan(std::span<const std::byte> source) {
  return {BytesOf(source), source.size()};
}

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
  uint8_t* const bytes = BytesOf(target);
  const size_t used = EncodeIndices(indices, count, {bytes, target.size()});
  const float* const x = residual != nullptr ? residual : values.data();
  uint8_t* kept = bytes + used;
  for (uint32_t index : indices) {
    WriteFloat(x[index], kept);
    kept += sizeof(float);
    if (residual != nullptr) residual[index] = 0;
  }
  return static_cast<size_t>(kept - bytes);
}

absl::Status TopKCodec::Validate(std::span<const std::byte> source,
                                 size_t count) const {
  const size_t kept = Kept(count);
  TERSE_ASSIGN_OR_RETURN(const size_t used,
                         ValidateIndices(ByteSpan(source), count, kept));
  TERSE_RETURN_IF_ERROR(
      CheckSize("topk", source.size(), used + kept * sizeof(float)));
  if (!AllFloatsFinite(FloatFormat::kBinary32, BytesOf(source) + used, kept)) {
    return absl::InvalidArgumentError("topk payload: a value is not finite");
  }
  return absl::OkStatus();
}

void TopKCodec::DecodeAdd(std::span<const std::byte> source, float weight,
                          std::span<float> target) const {
  const size_t kept = Kept(target.size());
  const size_t value_bytes = kept * sizeof(float);
  IndexReader indices(ByteSpan(source.first(source.size() - value_bytes)));
  const uint8_t* value = BytesOf(source.last(value_bytes));
  for (size_t i = 0; i < kept; ++i, value += sizeof(float)) {
    target[indices.Next()] += weight * ReadFloat(value);
  }
}

}  // namespace terse
