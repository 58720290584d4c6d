// The elements that a sparse codec sends of a block: their positions, and their
// values as another codec writes them.
#ifndef TERSE_COMMON_CODEC_KEPT_VALUES_H_
#define TERSE_COMMON_CODEC_KEPT_VALUES_H_

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "common/codec/codec.h"

namespace terse {

class KeptValues {
 public:
  // `fixed_size`: `codec` always writes its MaxEncodedBytes.
  KeptValues(std::unique_ptr<Codec> codec, bool fixed_size)
      : codec_(std::move(codec)), fixed_size_(fixed_size) {}

  const Codec& codec() const { return *codec_; }

  // `options` and, unless values travel as fp32, how they do.
  std::string Describe(const std::string& options) const;

  // `kept`, or `count` where the positions would cost more than the dropped
  // values.
  size_t KeptOrAll(size_t kept, size_t count) const;

  // Of `kept` elements of `count`.
  size_t MaxBytes(size_t kept, size_t count) const;
  size_t TypicalBytes(size_t kept, size_t count) const;

  // Writes positions and values of the elements of `x` (finite, as long as the
  // block) at `indices`; a residual (x itself) keeps what the values lose.
  absl::StatusOr<size_t> Write(const float* x,
                               std::span<const uint32_t> indices, size_t count,
                               const EncodeArgs& args,
                               std::span<std::byte> target) const;

  // The same for all elements of `x`.
  absl::StatusOr<size_t> WriteAll(std::span<const float> x,
                                  const EncodeArgs& args,
                                  std::span<std::byte> target) const;

  // The values alone; loss[i], unless `loss` is empty, becomes what value i
  // loses.
  absl::StatusOr<size_t> WriteValues(std::span<const float> values,
                                     std::span<float> loss,
                                     const EncodeArgs& args,
                                     std::span<std::byte> target) const;

  // Checks what Write wrote. Errors: DataLoss, those of the values' codec.
  absl::Status Validate(std::span<const std::byte> source, size_t kept,
                        size_t count) const;

  // Adds what Write wrote.
  void DecodeAdd(std::span<const std::byte> source, size_t kept, float weight,
                 std::span<float> target) const;

  // weight * the values, in a buffer of the calling thread.
  std::span<const float> DecodeValues(std::span<const std::byte> source,
                                      size_t kept, float weight) const;

 private:
  std::unique_ptr<Codec> codec_;
  bool fixed_size_;
};

}  // namespace terse

#endif  // TERSE_COMMON_CODEC_KEPT_VALUES_H_
