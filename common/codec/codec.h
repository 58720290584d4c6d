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

// What some codecs must know of a whole tensor before its blocks are encoded.
struct TensorScan {
  // Of terngrad: the scale of all blocks.
  float scale = 0;
  // Of topk: the bits of the least magnitude that is sent, and how many
  // elements of just this magnitude still are; encoding a block counts down.
  uint32_t least_bits = 0;
  uint64_t ties = 0;
};

struct EncodeArgs {
  // Randomness: element i of the block draws RandomBits(key, first_index + i)
  // or RandomHalf(key, first_index, i).
  uint64_t key = 0;
  uint64_t first_index = 0;

  // Error feedback (Karimireddy et al. 2019). Empty: none. Else as long as the
  // values: what is encoded is value + residual, and the residual becomes what
  // the encoding lost.
  std::span<float> residual = {};

  // Share of the elements that is sent in this step; 0: the codec's own. For
  // codecs whose options let it vary.
  float ratio = 0;

  // Of the tensor the block belongs to; null: the block is a tensor of its own.
  TensorScan* scan = nullptr;
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

  // Whether all blocks of a tensor want the same EncodeArgs::scan, which Scan
  // makes of the tensor's values and residual as Encode will be given them.
  // Errors: as Encode.
  virtual bool ScansTensor() const { return false; }
  virtual absl::StatusOr<TensorScan> Scan(std::span<const float> /*values*/,
                                          const EncodeArgs& /*args*/) const {
    return TensorScan();
  }

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
