#include "common/quantize/per_row.h"

#include "common/base/status.h"
#include "common/quantize/wire.h"

namespace terse {

PerRow::PerRow(size_t row_elements) : row_(row_elements) {
  TERSE_CHECK(row_elements > 0);
}

size_t PerRow::ScaleBytes(size_t count) const {
  return (count + row_ - 1) / row_ * kScaleBytes;
}

size_t PerRow::EncodedBytes(size_t count) const {
  return ScaleBytes(count) + count / row_ * RowBytes(row_) +
         RowBytes(count % row_);
}

void PerRow::Encode(std::span<const float> shadow, const QuantizeArgs&,
                    std::span<std::byte> target) const {
  TERSE_CHECK(target.size() == EncodedBytes(shadow.size()));
  std::byte* scale = target.data();
  std::byte* codes = scale + ScaleBytes(shadow.size());
  for (size_t i = 0; i < shadow.size(); i += row_) {
    const auto row = RowAt(shadow, i);
    WriteScale(EncodeRow(row, codes), scale);
    scale += kScaleBytes;
    codes += RowBytes(row.size());
  }
}

absl::Status PerRow::Validate(std::span<const std::byte> source,
                              size_t count) const {
  TERSE_RETURN_IF_ERROR(CheckLength(source, EncodedBytes(count)));
  const std::byte* scale = source.data();
  const std::byte* codes = scale + ScaleBytes(count);
  for (size_t i = 0; i < count; i += row_) {
    const size_t here = std::min(row_, count - i);
    TERSE_RETURN_IF_ERROR(CheckScale(scale));
    TERSE_RETURN_IF_ERROR(ValidateRow(codes, here));
    scale += kScaleBytes;
    codes += RowBytes(here);
  }
  return absl::OkStatus();
}

void PerRow::Decode(std::span<const std::byte> source,
                    std::span<float> weights) const {
  const std::byte* scale = source.data();
  const std::byte* codes = scale + ScaleBytes(weights.size());
  for (size_t i = 0; i < weights.size(); i += row_) {
    const auto row = RowAt(weights, i);
    DecodeRow(codes, ReadScale(scale), row);
    scale += kScaleBytes;
    codes += RowBytes(row.size());
  }
}

}  // namespace terse
