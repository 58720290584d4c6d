// Linear levels with one scale for all workers: QSGD, DoReFa-G, uniform k bits,
// block floating point and the sign as LevelCodecs.
#ifndef TERSE_COMMON_CODEC_SHARED_LEVELS_CODEC_H_
#define TERSE_COMMON_CODEC_SHARED_LEVELS_CODEC_H_

#include <memory>
#include <string>

#include "common/codec/level_codec.h"
#include "common/codec/levels_codec.h"

namespace terse {

class SharedLevelsCodec final : public LevelCodec {
 public:
  // `own` encodes with the worker's own norm, one for the whole block.
  SharedLevelsCodec(std::unique_ptr<LevelsCodec> own, const SumOptions& sums);

  std::string Describe() const override;
  size_t MaxEncodedBytes(size_t count) const override {
    return own_->MaxEncodedBytes(count);
  }
  size_t TypicalEncodedBytes(size_t count) const override {
    return own_->TypicalEncodedBytes(count);
  }
  absl::StatusOr<size_t> Encode(std::span<const float> values,
                                const EncodeArgs& args,
                                std::span<std::byte> target) const override {
    return own_->Encode(values, args, target);
  }
  absl::Status Validate(std::span<const std::byte> source,
                        size_t count) const override {
    return own_->Validate(source, count);
  }
  void DecodeAdd(std::span<const std::byte> source, float weight,
                 std::span<float> target) const override {
    own_->DecodeAdd(source, weight, target);
  }

  uint32_t Top() const override { return own_->grid().top; }
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
  std::unique_ptr<LevelsCodec> own_;
};

}  // namespace terse

#endif  // TERSE_COMMON_CODEC_SHARED_LEVELS_CODEC_H_
