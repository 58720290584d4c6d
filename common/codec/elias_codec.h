// QSGD's own coding of its levels (Alistarh et al., arXiv 1610.02132, section
// 3.1): for each level that is not zero the distance to the one before, a sign
// bit and the magnitude, both numbers in Elias' recursive (omega) code. For
// comparison: at the settings in use fixed width and entropy coding are
// shorter.
#ifndef TERSE_COMMON_CODEC_ELIAS_CODEC_H_
#define TERSE_COMMON_CODEC_ELIAS_CODEC_H_

#include <memory>
#include <string>
#include <utility>

#include "common/codec/levels_codec.h"

namespace terse {

class EliasCodec final : public Codec {
 public:
  // `fixed`: a codec with a level at zero.
  explicit EliasCodec(std::unique_ptr<LevelsCodec> fixed)
      : fixed_(std::move(fixed)) {}

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
  template <typename Code>
  size_t WriteLevels(const uint8_t* packed, size_t count,
                     uint8_t* target) const;
  template <typename Code>
  absl::Status ReadLevels(std::span<const uint8_t> source, size_t count,
                          uint8_t* packed) const;
  size_t NormBytes(size_t count) const;

  // The payload of `fixed_` that `source` stands for, in a buffer of the
  // calling thread.
  absl::StatusOr<std::span<const std::byte>> Expand(
      std::span<const std::byte> source, size_t count) const;

  std::unique_ptr<LevelsCodec> fixed_;
};

// Bits of `value` (not 0) in the omega code.
int OmegaBits(uint32_t value);

}  // namespace terse

#endif  // TERSE_COMMON_CODEC_ELIAS_CODEC_H_
