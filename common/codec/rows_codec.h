// Sends the rows of a gradient matrix that are not all zeros:
// what backward leaves of a layer's outputs (meProp, Sun et al. 2017,
// 1706.06197).
#ifndef TERSE_COMMON_CODEC_ROWS_CODEC_H_
#define TERSE_COMMON_CODEC_ROWS_CODEC_H_

#include <string>
#include <utility>

#include "common/codec/codec.h"
#include "common/codec/kept_values.h"

namespace terse {

// What a codec that sends rows knows of a tensor's blocks.
struct BlockRows {
  // Elements of a row; a block starts with a row, and its last may be short.
  size_t elements = 1;
  // Share of the rows to expect, for plans.
  double active_share = 1;
};

class RowsCodec final : public Codec {
 public:
  // Requires: rows.elements > 0.
  RowsCodec(const BlockRows& rows, KeptValues values)
      : rows_(rows), values_(std::move(values)) {}

  std::string Describe() const override;
  size_t MaxEncodedBytes(size_t count) const override;
  size_t TypicalEncodedBytes(size_t count) const override;
  absl::StatusOr<size_t> Encode(std::span<const float> values,
                                const EncodeArgs& args,
                                std::span<std::byte> target) const override;
  absl::Status Validate(std::span<const std::byte> source,
                        size_t count) const override;
  void DecodeAdd(std::span<const std::byte> source, float weight,
                 std::span<float> target) const override;

 private:
  size_t RowCount(size_t count) const;
  // Elements of `row` in a block of `count`.
  size_t RowSize(size_t row, size_t count) const;

  // Elements of the rows that a payload's positions name.
  size_t SentElements(std::span<const std::byte> source, size_t count) const;

  BlockRows rows_;
  KeptValues values_;
};

}  // namespace terse

#endif  // TERSE_COMMON_CODEC_ROWS_CODEC_H_
