// One-bit SGD (Seide, Fu, Droppo, Li, Yu, Interspeech 2014): the sign of every
// element and, for each bucket of consecutive ones, the mean of those of either
// sign, so that a bucket keeps its sum.
#ifndef TERSE_COMMON_CODEC_ONE_BIT_CODEC_H_
#define TERSE_COMMON_CODEC_ONE_BIT_CODEC_H_

#include <string>

#include "common/codec/codec.h"

namespace terse {

class OneBitCodec final : public Codec {
 public:
  explicit OneBitCodec(size_t bucket) : bucket_(bucket) {}

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
  // Of the two means of every bucket.
  size_t MeanBytes(size_t count) const;

  size_t bucket_;
};

}  // namespace terse

#endif  // TERSE_COMMON_CODEC_ONE_BIT_CODEC_H_
