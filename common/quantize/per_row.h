// Quantizers with a scale for each row (filter, neuron). Layout of a block: the
// scales of all rows, then each row's codes from a byte of its own.
#ifndef TERSE_COMMON_QUANTIZE_PER_ROW_H_
#define TERSE_COMMON_QUANTIZE_PER_ROW_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include "common/quantize/straight_through.h"

namespace terse {

class PerRow : public StraightThrough {
 public:
  size_t EncodedBytes(size_t count) const final;
  void Encode(std::span<const float> shadow, const QuantizeArgs& args,
              std::span<std::byte> target) const final;
  absl::Status Validate(std::span<const std::byte> source,
                        size_t count) const final;
  void Decode(std::span<const std::byte> source,
              std::span<float> weights) const final;

 protected:
  // Requires: row_elements > 0.
  explicit PerRow(size_t row_elements);

  // Bytes of the codes of a row of `count` weights.
  virtual size_t RowBytes(size_t count) const = 0;
  // Writes the codes and returns the scale.
  virtual float EncodeRow(std::span<const float> row,
                          std::byte* target) const = 0;
  // Errors: DataLoss (symbols, padding).
  virtual absl::Status ValidateRow(const std::byte* source,
                                   size_t count) const = 0;
  virtual void DecodeRow(const std::byte* source, float scale,
                         std::span<float> row) const = 0;

  size_t row_elements() const { return row_; }

  // The row that starts at `begin`; a block's last may be shorter.
  template <typename T>
  std::span<T> RowAt(std::span<T> values, size_t begin) const {
    return values.subspan(begin, std::min(row_, values.size() - begin));
  }

 private:
  size_t ScaleBytes(size_t count) const;

  const size_t row_;
};

}  // namespace terse

#endif  // TERSE_COMMON_QUANTIZE_PER_ROW_H_
