// Natural compression (Horvath et al., arXiv 1905.10988): sign and exponent of
// every element, rounded at random to one of the powers of two around it.
#ifndef TERSE_COMMON_CODEC_NATURAL_CODEC_H_
#define TERSE_COMMON_CODEC_NATURAL_CODEC_H_

#include <string>

#include "common/codec/codec.h"

namespace terse {

class NaturalCodec final : public Codec {
 public:
  std::string Describe() const override { return "natural"; }
  size_t MaxEncodedBytes(size_t count) const override;
  size_t TypicalEncodedBytes(size_t count) const override;
  absl::StatusOr<size_t> Encode(std::span<const float> values,
                                const EncodeArgs& args,
                                std::span<std::byte> target) const override;
  absl::Status Validate(std::span<const std::byte> source,
                        size_t count) const override;
  void DecodeAdd(std::span<const std::byte> source, float weight,
                 std::span<float> target) const override;
};

}  // namespace terse

#endif  // TERSE_COMMON_CODEC_NATURAL_CODEC_H_
