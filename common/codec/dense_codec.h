// Every element as a float: `none` (fp32), fp16, bf16.
#ifndef TERSE_COMMON_CODEC_DENSE_CODEC_H_
#define TERSE_COMMON_CODEC_DENSE_CODEC_H_

#include <string>

#include "common/codec/codec.h"
#include "common/kernels/float_format.h"

namespace terse {

class DenseCodec final : public Codec {
 public:
  explicit DenseCodec(FloatFormat format) : format_(format) {}

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
  FloatFormat format_;
};

}  // namespace terse

#endif  // TERSE_COMMON_CODEC_DENSE_CODEC_H_
