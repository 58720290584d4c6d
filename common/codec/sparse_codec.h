// Top-k: the k largest magnitudes of a block with their positions; the rest is
// dropped or, with error feedback, kept back (Aji and Heafield 2017).
#ifndef TERSE_COMMON_CODEC_SPARSE_CODEC_H_
#define TERSE_COMMON_CODEC_SPARSE_CODEC_H_

#include <string>

#include "common/codec/codec.h"

namespace terse {

class TopKCodec final : public Codec {
 public:
  explicit TopKCodec(float ratio) : ratio_(ratio) {}

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
  size_t Kept(size_t count) const;

  float ratio_;
};

}  // namespace terse

#endif  // TERSE_COMMON_CODEC_SPARSE_CODEC_H_
