// TernGrad with one scale for all workers: see LevelCodec.
#ifndef TERSE_COMMON_CODEC_SHARED_TERNARY_CODEC_H_
#define TERSE_COMMON_CODEC_SHARED_TERNARY_CODEC_H_

#include <string>

#include "common/codec/level_codec.h"

namespace terse {

class SharedTernaryCodec final : public LevelCodec {
 public:
  explicit SharedTernaryCodec(float clip_sigmas) : clip_sigmas_(clip_sigmas) {}

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

  uint32_t MaxLevel() const override { return 1; }
  absl::StatusOr<size_t> EncodeShared(
      std::span<const float> values, const EncodeArgs& args, float scale,
      std::span<std::byte> target) const override;
  float OwnScale(std::span<const std::byte> source) const override;
  void AddLevels(std::span<const std::byte> source,
                 std::span<int8_t> sums) const override;
  void AddLevels(std::span<const std::byte> source,
                 std::span<int16_t> sums) const override;
  void AddLevels(std::span<const std::byte> source,
                 std::span<int32_t> sums) const override;

 private:
  float clip_sigmas_;
};

}  // namespace terse

#endif  // TERSE_COMMON_CODEC_SHARED_TERNARY_CODEC_H_
