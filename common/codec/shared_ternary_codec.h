// TernGrad with one scale for all workers: see LevelCodec.
#ifndef TERSE_COMMON_CODEC_SHARED_TERNARY_CODEC_H_
#define TERSE_COMMON_CODEC_SHARED_TERNARY_CODEC_H_

#include <string>

#include "common/codec/level_codec.h"
#include "common/codec/terngrad_codec.h"

namespace terse {

class SharedTernaryCodec final : public LevelCodec {
 public:
  explicit SharedTernaryCodec(float clip_sigmas, bool per_tensor = false,
                              const SumOptions& sums = {})
      : LevelCodec(sums), own_(clip_sigmas, per_tensor) {}

  std::string Describe() const override;
  size_t MaxEncodedBytes(size_t count) const override {
    return own_.MaxEncodedBytes(count);
  }
  size_t TypicalEncodedBytes(size_t count) const override {
    return own_.TypicalEncodedBytes(count);
  }
  bool ScansTensor() const override { return own_.ScansTensor(); }
  absl::StatusOr<TensorScan> Scan(std::span<const float> values,
                                  const EncodeArgs& args) const override {
    return own_.Scan(values, args);
  }
  absl::StatusOr<size_t> Encode(std::span<const float> values,
                                const EncodeArgs& args,
                                std::span<std::byte> target) const override {
    return own_.Encode(values, args, target);
  }
  absl::Status Validate(std::span<const std::byte> source,
                        size_t count) const override {
    return own_.Validate(source, count);
  }
  void DecodeAdd(std::span<const std::byte> source, float weight,
                 std::span<float> target) const override {
    own_.DecodeAdd(source, weight, target);
  }

  uint32_t Top() const override { return 2; }
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
  TernGradCodec own_;
};

}  // namespace terse

#endif  // TERSE_COMMON_CODEC_SHARED_TERNARY_CODEC_H_
