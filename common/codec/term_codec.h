// Term quantization (Kung, McDanel, Zhang, SC 2020, arXiv 2007.06389): uniform
// codes, each group of consecutive ones cut to its largest power-of-two terms.
// The payload is that of the uniform codec.
#ifndef TERSE_COMMON_CODEC_TERM_CODEC_H_
#define TERSE_COMMON_CODEC_TERM_CODEC_H_

#include <memory>
#include <string>

#include "common/codec/levels_codec.h"

namespace terse {

class TermCodec final : public Codec {
 public:
  // Requires: 2 <= bits <= 16, 1 <= group <= 512.
  TermCodec(uint32_t bits, uint32_t group, uint32_t terms)
      : uniform_(LevelsCodec::Uniform(bits, /*stochastic=*/false)),
        group_(group),
        terms_(terms) {}

  std::string Describe() const override;
  size_t MaxEncodedBytes(size_t count) const override {
    return uniform_->MaxEncodedBytes(count);
  }
  size_t TypicalEncodedBytes(size_t count) const override {
    return uniform_->TypicalEncodedBytes(count);
  }
  absl::StatusOr<size_t> Encode(std::span<const float> values,
                                const EncodeArgs& args,
                                std::span<std::byte> target) const override;
  absl::Status Validate(std::span<const std::byte> source,
                        size_t count) const override {
    return uniform_->Validate(source, count);
  }
  void DecodeAdd(std::span<const std::byte> source, float weight,
                 std::span<float> target) const override {
    uniform_->DecodeAdd(source, weight, target);
  }

 private:
  template <typename Code>
  void CutCodes(size_t count, float step, float* residual,
                uint8_t* packed) const;

  std::unique_ptr<LevelsCodec> uniform_;
  uint32_t group_;
  uint32_t terms_;
};

}  // namespace terse

#endif  // TERSE_COMMON_CODEC_TERM_CODEC_H_
