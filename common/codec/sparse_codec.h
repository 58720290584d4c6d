// Codecs that send some elements of a block and drop the rest or, with error
// feedback, keep it back: the k largest magnitudes (Aji and Heafield 2017), all
// magnitudes from a threshold on, or k at random positions.
#ifndef TERSE_COMMON_CODEC_SPARSE_CODEC_H_
#define TERSE_COMMON_CODEC_SPARSE_CODEC_H_

#include <string>
#include <utility>

#include "common/codec/codec.h"
#include "common/codec/kept_values.h"

namespace terse {

class TopKCodec final : public Codec {
 public:
  struct Options {
    float ratio = 0.01f;
    // The largest of all blocks of the tensor together.
    bool per_tensor = false;
    // Steps may have a ratio of their own.
    bool any_ratio = false;
  };

  TopKCodec(const Options& options, KeptValues values)
      : options_(options), values_(std::move(values)) {}

  std::string Describe() const override;
  size_t MaxEncodedBytes(size_t count) const override;
  size_t TypicalEncodedBytes(size_t count) const override;
  bool ScansTensor() const override { return options_.per_tensor; }
  absl::StatusOr<TensorScan> Scan(std::span<const float> values,
                                  const EncodeArgs& args) const override;
  absl::StatusOr<size_t> Encode(std::span<const float> values,
                                const EncodeArgs& args,
                                std::span<std::byte> target) const override;
  absl::Status Validate(std::span<const std::byte> source,
                        size_t count) const override;
  void DecodeAdd(std::span<const std::byte> source, float weight,
                 std::span<float> target) const override;

 private:
  // Whether the number of elements is in the payload.
  bool counted() const { return options_.per_tensor || options_.any_ratio; }
  float Ratio(const EncodeArgs& args) const {
    return options_.any_ratio && args.ratio > 0 ? args.ratio : options_.ratio;
  }
  size_t Kept(size_t count) const;

  Options options_;
  KeptValues values_;
};

class ThresholdCodec final : public Codec {
 public:
  ThresholdCodec(float threshold, KeptValues values)
      : threshold_(threshold), values_(std::move(values)) {}

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
  KeptValues values_;
};

// The block is cut into k stretches of nearly the same size, and one element of
// each is sent, drawn by a key that travels in place of the positions.
class RandomKCodec final : public Codec {
 public:
  // With `rescale` the values are multiplied by the size of their stretch,
  // which makes the result unbiased; not for error feedback, whose residual
  // would grow by as much.
  RandomKCodec(float ratio, bool rescale, KeptValues values)
      : ratio_(ratio), rescale_(rescale), values_(std::move(values)) {}

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
  KeptValues values_;
};

}  // namespace terse

#endif  // TERSE_COMMON_CODEC_SPARSE_CODEC_H_
