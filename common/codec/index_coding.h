// The positions of the kept elements of a sparse block, in the smallest of
// three forms: all, a bitmap, or Golomb-Rice coded gaps, which come within 1 %
// of log2(count choose kept) bits when the positions are independent.
#ifndef TERSE_COMMON_CODEC_INDEX_CODING_H_
#define TERSE_COMMON_CODEC_INDEX_CODING_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "absl/status/statusor.h"

namespace terse {

// First byte of a coded set. Below these: Rice coded gaps, the byte being the
// number of low bits.
inline constexpr uint8_t kIndexBitmap = 0xfe;
inline constexpr uint8_t kIndexAll = 0xff;
inline constexpr uint8_t kRiceBitsMax = 31;

// No set of `kept` out of `count` positions takes more bytes than this.
size_t MaxIndexBytes(size_t count, size_t kept);

// Near what `kept` independent positions take.
size_t TypicalIndexBytes(size_t count, size_t kept);

// Codes `indices`: ascending, distinct, below `count` (< 2^31). Returns the
// bytes used; none if there are no indices.
// Requires: target.size() >= MaxIndexBytes(count, indices.size()).
size_t EncodeIndices(std::span<const uint32_t> indices, size_t count,
                     std::span<uint8_t> target);

// Checks that `source` starts with a set of `kept` positions below `count` and
// returns the bytes the set takes.
// Errors: DataLoss.
absl::StatusOr<size_t> ValidateIndices(std::span<const uint8_t> source,
                                       size_t count, size_t kept);

// Hands out the positions of a set in ascending order.
// Requires: ValidateIndices(source, count, kept) is OK.
class IndexReader {
 public:
  IndexReader(std::span<const uint8_t> source);

  uint32_t Next();

  // As many of the next as fit; faster than one by one.
  // Requires: there are so many.
  void Read(std::span<uint32_t> indices);

 private:
  uint32_t NextInBitmap();
  uint32_t NextRice();
  void ReadBitmap(std::span<uint32_t> indices);

  std::span<const uint8_t> source_;
  uint8_t form_;
  uint64_t bit_ = 8;  // Of the source; what follows has not been read.
  uint32_t next_ = 0;
};

}  // namespace terse

#endif  // TERSE_COMMON_CODEC_INDEX_CODING_H_
