// TernGrad (Wen et al., arXiv 1705.07878): one scale a block and a stochastic
// sign or zero an element.
#ifndef TERSE_COMMON_CODEC_TERNGRAD_CODEC_H_
#define TERSE_COMMON_CODEC_TERNGRAD_CODEC_H_

#include <optional>
#include <string>

#include "common/codec/codec.h"
#include "common/kernels/moments.h"

namespace terse {

// The scale of a block: its largest magnitude after clipping at `clip_sigmas`
// standard deviations. No clipping for clip_sigmas 0, nor where the standard
// deviation is below 1/256 of the root mean square: a (nearly) constant block
// would be cut to a fraction of itself.
float TernGradScale(const BlockMoments& moments, size_t count,
                    float clip_sigmas);

class TernGradCodec final : public Codec {
 public:
  // `per_tensor`: the scale is that of the whole tensor.
  explicit TernGradCodec(float clip_sigmas, bool per_tensor = false)
      : clip_sigmas_(clip_sigmas), per_tensor_(per_tensor) {}

  std::string Describe() const override;
  size_t MaxEncodedBytes(size_t count) const override;
  size_t TypicalEncodedBytes(size_t count) const override;
  bool ScansTensor() const override { return per_tensor_; }
  absl::StatusOr<TensorScan> Scan(std::span<const float> values,
                                  const EncodeArgs& args) const override;
  absl::StatusOr<size_t> Encode(std::span<const float> values,
                                const EncodeArgs& args,
                                std::span<std::byte> target) const override;
  absl::Status Validate(std::span<const std::byte> source,
                        size_t count) const override;
  void DecodeAdd(std::span<const std::byte> source, float weight,
                 std::span<float> target) const override;

  // As Encode, with trits of the `agreed` scale, if there is one, behind the
  // scale that is the block's own.
  absl::StatusOr<size_t> EncodeTrits(std::span<const float> values,
                                     const EncodeArgs& args,
                                     std::optional<float> agreed,
                                     std::span<std::byte> target) const;

 private:
  float clip_sigmas_;
  bool per_tensor_;
};

}  // namespace terse

#endif  // TERSE_COMMON_CODEC_TERNGRAD_CODEC_H_
