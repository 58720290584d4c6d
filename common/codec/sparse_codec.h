// Codecs that send some elements of a block as they are and drop the rest or,
// with error feedback, keep it back: the k largest magnitudes (Aji and Heafield
// 2017), all magnitudes from a threshold on, or k at random positions.
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

class ThresholdCodec final : public Codec {
 public:
  explicit ThresholdCodec(float threshold) : threshold_(threshold) {}

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
  float threshold_;
};

// The block is cut into k stretches of nearly the same size, and one element of
// each is sent, drawn by a key that travels in place of the positions.
class RandomKCodec final : public Codec {
 public:
  // With `rescale` the values are multiplied by the size of their stretch,
  // which makes the result unbiased.
  RandomKCodec(float ratio, bool rescale) : ratio_(ratio), rescale_(rescale) {}

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
  float ratio_;
  bool rescale_;
};

}  // namespace terse

#endif  // TERSE_COMMON_CODEC_SPARSE_CODEC_H_
