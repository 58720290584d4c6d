#include "common/codec/rows_codec.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <numeric>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/codec/index_coding.h"
#include "common/codec/payload.h"
#include "common/kernels/float_format.h"
#include "common/kernels/moments.h"

namespace terse {
namespace {

constexpr size_t kFieldBytes = sizeof(uint32_t);  // Of the number of rows.

std::span<const uint8_t> ByteSpan(std::span<const std::byte> source) {
  return {BytesOf(source), source.size()};
}

uint32_t ReadField(std::span<const std::byte> source) {
  uint32_t field;
  std::memcpy(&field, source.data(), sizeof(field));
  return field;
}

}  // namespace

size_t RowsCodec::RowCount(size_t count) const {
  return (count + rows_.elements - 1) / rows_.elements;
}

size_t RowsCodec::RowSize(size_t row, size_t count) const {
  return std::min(rows_.elements, count - row * rows_.elements);
}

size_t RowsCodec::MaxEncodedBytes(size_t count) const {
  // With all rows sent there are no positions; see Encode.
  if (count == 0) return 0;
  return kFieldBytes + 1 + count * sizeof(float);
}

size_t RowsCodec::TypicalEncodedBytes(size_t count) const {
  if (count == 0) return 0;
  const size_t rows = RowCount(count);
  const auto active = std::clamp<size_t>(
      std::llround(rows_.active_share * static_cast<double>(rows)), 1, rows);
  return kFieldBytes + TypicalIndexBytes(rows, active) +
         std::min(count, active * rows_.elements) * sizeof(float);
}

absl::StatusOr<size_t> RowsCodec::Encode(std::span<const float> values,
                                         const EncodeArgs& args,
                                         std::span<std::byte> target) const {
  const size_t count = values.size();
  TERSE_CHECK(target.size() >= MaxEncodedBytes(count));
  if (count == 0) return size_t{0};
  const size_t rows = RowCount(count);
  float* const residual = ResidualOf(args.residual);
  thread_local std::vector<uint32_t> active;
  active.clear();
  size_t sent = 0;  // Elements.
  for (size_t row = 0; row < rows; ++row) {
    const size_t first = row * rows_.elements;
    const size_t size = RowSize(row, count);
    const uint32_t max_abs_bits =
        AddMaxAbs(values.data() + first, size,
                  residual != nullptr ? residual + first : nullptr);
    if (max_abs_bits >= kInfinityBits) return NonFiniteError(values);
    if (max_abs_bits == 0) continue;
    active.push_back(static_cast<uint32_t>(row));
    sent += size;
  }
  if (sent < count &&
      MaxIndexBytes(rows, active.size()) > 1 + (count - sent) * sizeof(float)) {
    // Positions that cost more than the other rows would: all are sent.
    active.resize(rows);
    std::iota(active.begin(), active.end(), 0u);
  }
  uint8_t* to = BytesOf(target);
  const auto field = static_cast<uint32_t>(active.size());
  std::memcpy(to, &field, sizeof(field));
  to += kFieldBytes;
  to += EncodeIndices(active, rows, {to, target.size() - kFieldBytes});
  const float* const x = residual != nullptr ? residual : values.data();
  for (const uint32_t row : active) {
    const size_t bytes = RowSize(row, count) * sizeof(float);
    std::memcpy(to, x + row * rows_.elements, bytes);
    to += bytes;
  }
  if (residual != nullptr) std::fill_n(residual, count, 0.0f);
  return static_cast<size_t>(to - BytesOf(target));
}

absl::Status RowsCodec::Validate(std::span<const std::byte> source,
                                 size_t count) const {
  if (count == 0) return CheckSize("rows", source.size(), 0);
  if (source.size() < kFieldBytes) {
    return absl::DataLossError("rows payload is cut short");
  }
  const uint32_t active = ReadField(source);
  const size_t rows = RowCount(count);
  TERSE_ASSIGN_OR_RETURN(
      const size_t index_bytes,
      ValidateIndices(ByteSpan(source.subspan(kFieldBytes)), rows, active));
  size_t sent = active * rows_.elements;
  if (active > 0 && count % rows_.elements != 0) {
    IndexReader indices(ByteSpan(source.subspan(kFieldBytes, index_bytes)));
    uint32_t last = 0;
    for (uint32_t i = 0; i < active; ++i) last = indices.Next();
    if (last + 1 == rows) sent -= rows_.elements - count % rows_.elements;
  }
  const size_t start = kFieldBytes + index_bytes;
  TERSE_RETURN_IF_ERROR(
      CheckSize("rows", source.size(), start + sent * sizeof(float)));
  if (!AllFloatsFinite(FloatFormat::kBinary32, BytesOf(source) + start, sent)) {
    return absl::InvalidArgumentError("rows payload: a value is not finite");
  }
  return absl::OkStatus();
}

void RowsCodec::DecodeAdd(std::span<const std::byte> source, float weight,
                          std::span<float> target) const {
  const size_t count = target.size();
  if (count == 0) return;
  const uint32_t active = ReadField(source);
  // The rows lie at the end: their bytes tell where they start.
  IndexReader sizes(ByteSpan(source.subspan(kFieldBytes)));
  size_t sent = 0;
  for (uint32_t i = 0; i < active; ++i) sent += RowSize(sizes.Next(), count);
  const uint8_t* from = BytesOf(source.last(sent * sizeof(float)));
  IndexReader indices(ByteSpan(source.subspan(kFieldBytes)));
  for (uint32_t i = 0; i < active; ++i) {
    const size_t row = indices.Next();
    float* const to = target.data() + row * rows_.elements;
    const size_t size = RowSize(row, count);
    DecodeAddFloats(FloatFormat::kBinary32, from, size, weight, to);
    from += size * sizeof(float);
  }
}

}  // namespace terse
