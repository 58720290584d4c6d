#include "common/codec/rows_codec.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
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

std::string RowsCodec::Describe() const {
  const std::string values = values_.codec().Describe();
  return values == "none" ? "rows" : "rows:values=(" + values + ")";
}

size_t RowsCodec::MaxEncodedBytes(size_t count) const {
  // With all rows sent there are no positions; see Encode.
  if (count == 0) return 0;
  return kFieldBytes + 1 + values_.codec().MaxEncodedBytes(count);
}

size_t RowsCodec::TypicalEncodedBytes(size_t count) const {
  if (count == 0) return 0;
  const size_t rows = RowCount(count);
  const auto active = std::clamp<size_t>(
      std::llround(rows_.active_share * static_cast<double>(rows)), 1, rows);
  return kFieldBytes + TypicalIndexBytes(rows, active) +
         values_.codec().TypicalEncodedBytes(
             std::min(count, active * rows_.elements));
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
  if (AddMaxAbs(values.data(), count, residual) >= kInfinityBits) {
    return NonFiniteError(values);
  }
  const float* const x = residual != nullptr ? residual : values.data();
  for (size_t row = 0; row < rows; ++row) {
    const size_t size = RowSize(row, count);
    const float* const first = x + row * rows_.elements;
    // Most often one look tells that a row is active.
    if (first[0] == 0 && AddMaxAbs(first, size, nullptr) == 0) continue;
    active.push_back(static_cast<uint32_t>(row));
    sent += size;
  }
  // Positions may cost more than the other rows would.
  const bool all =
      active.size() == rows || MaxIndexBytes(rows, active.size()) +
                                       values_.codec().MaxEncodedBytes(sent) >
                                   1 + values_.codec().MaxEncodedBytes(count);
  const auto field = static_cast<uint32_t>(all ? rows : active.size());
  std::memcpy(target.data(), &field, sizeof(field));
  if (all) {
    TERSE_ASSIGN_OR_RETURN(
        const size_t bytes,
        values_.WriteAll({x, count}, args, target.subspan(kFieldBytes)));
    return kFieldBytes + bytes;
  }
  const size_t start =
      kFieldBytes + EncodeIndices(active, rows,
                                  {BytesOf(target) + kFieldBytes,
                                   target.size() - kFieldBytes});
  thread_local std::vector<float> kept, loss;
  kept.clear();
  for (const uint32_t row : active) {
    const float* const first = x + row * rows_.elements;
    kept.insert(kept.end(), first, first + RowSize(row, count));
  }
  loss.resize(residual != nullptr ? sent : 0);
  TERSE_ASSIGN_OR_RETURN(
      const size_t bytes,
      values_.WriteValues(kept, loss, args, target.subspan(start)));
  const float* from = loss.data();
  for (size_t i = 0; residual != nullptr && i < active.size(); ++i) {
    const size_t size = RowSize(active[i], count);
    std::copy_n(from, size, residual + active[i] * rows_.elements);
    from += size;
  }
  return start + bytes;
}

size_t RowsCodec::SentElements(std::span<const std::byte> source,
                               size_t count) const {
  const uint32_t active = ReadField(source);
  IndexReader indices(ByteSpan(source.subspan(kFieldBytes)));
  size_t sent = 0;
  if (active == RowCount(count)) return count;
  for (uint32_t i = 0; i < active; ++i) sent += RowSize(indices.Next(), count);
  return sent;
}

absl::Status RowsCodec::Validate(std::span<const std::byte> source,
                                 size_t count) const {
  if (count == 0) return CheckSize("rows", source.size(), 0);
  if (source.size() < kFieldBytes) {
    return absl::DataLossError("rows payload is cut short");
  }
  TERSE_ASSIGN_OR_RETURN(const size_t index_bytes,
                         ValidateIndices(ByteSpan(source.subspan(kFieldBytes)),
                                         RowCount(count), ReadField(source)));
  return values_.codec().Validate(source.subspan(kFieldBytes + index_bytes),
                                  SentElements(source, count));
}

void RowsCodec::DecodeAdd(std::span<const std::byte> source, float weight,
                          std::span<float> target) const {
  const size_t count = target.size();
  if (count == 0) return;
  const uint32_t active = ReadField(source);
  const std::span<const std::byte> body = source.subspan(kFieldBytes);
  if (active == RowCount(count)) {
    return values_.codec().DecodeAdd(body.subspan(1), weight, target);
  }
  const size_t index_bytes =
      ValidateIndices(ByteSpan(body), RowCount(count), active).value();
  const float* from = values_
                          .DecodeValues(body.subspan(index_bytes),
                                        SentElements(source, count), weight)
                          .data();
  IndexReader indices(ByteSpan(body));
  for (uint32_t i = 0; i < active; ++i) {
    const size_t row = indices.Next();
    const size_t size = RowSize(row, count);
    DecodeAddFloats(FloatFormat::kBinary32,
                    reinterpret_cast<const uint8_t*>(from), size, 1,
                    target.data() + row * rows_.elements);
    from += size;
  }
}

}  // namespace terse
