// A codec turns a block of a gradient into bytes and back. Lossy codecs are
// still deterministic: the same values, key and options give the same bytes on
// every CPU. A codec has no state and may be used from many threads. Formats:
// FORMAT.md beside this file.
#ifndef TERSE_COMMON_CODEC_CODEC_H_
#define TERSE_COMMON_CODEC_CODEC_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace terse {

struct EncodeArgs {
  // Randomness: element i of the block draws RandomBits(key, first_index + i) or
  // RandomHalf(key, first_index, i).
  uint64_t key = 0;
  uint64_t first_index = 0;

  // Error feedback (Karimireddy et al. 2019). Empty: none. Else as long as the
  // values: what is encoded is value + residual, and the residual becomes what
  // the encoding lost.
  std::span<float> residual = {};
};

class Codec {
 public:
  virtual ~Codec() = default;

  // Name and options, as the job file writes them, e.g. "qsgd:levels=7".
  virtual std::string Describe() const = 0;

  // No encoding of `count` values is longer than this.
  virtual size_t MaxEncodedBytes(size_t count) const = 0;

  // Bytes to expect for a typical gradient of `count` values; for plans.
  virtual size_t TypicalEncodedBytes(size_t count) const = 0;

  // Encodes `values` into `target` and returns the bytes used. On an error
  // neither `target` nor the residual means anything.
  // Requires: target.size() >= MaxEncodedBytes(values.size()).
  // Errors: InvalidArgument (a NaN or an infinity among the values).
  virtual absl::StatusOr<size_t> Encode(std::span<const float> values,
                                        const EncodeArgs& args,
                                        std::span<std::byte> target) const = 0;

  // Checks that `source` encodes exactly `count` values.
  // Errors: DataLoss (lengths, indices, symbols), InvalidArgument (a scale that
  // is negative, NaN or infinite).
  virtual absl::Status Validate(std::span<const std::byte> source,
                                size_t count) const = 0;

  // Adds weight * value to each element of `target`.
  // Requires: Validate(source, target.size()) is OK.
  virtual void DecodeAdd(std::span<const std::byte> source, float weight,
                         std::span<float> target) const = 0;
};

}  // namespace terse

#endif  // TERSE_COMMON_CODEC_CODEC_H_
