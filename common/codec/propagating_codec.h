// Lets a block whose values are not all finite through as a whole block of NaN,
// which the receiver sees and names, in place of an error at the sender.
#ifndef TERSE_COMMON_CODEC_PROPAGATING_CODEC_H_
#define TERSE_COMMON_CODEC_PROPAGATING_CODEC_H_

#include <memory>
#include <string>
#include <utility>

#include "common/codec/codec.h"

namespace terse {

class PropagatingCodec final : public Codec {
 public:
  explicit PropagatingCodec(std::unique_ptr<Codec> finite)
      : finite_(std::move(finite)) {}

  std::string Describe() const override;
  size_t MaxEncodedBytes(size_t count) const override;
  size_t TypicalEncodedBytes(size_t count) const override;
  bool ScansTensor() const override { return finite_->ScansTensor(); }
  absl::StatusOr<TensorScan> Scan(std::span<const float> values,
                                  const EncodeArgs& args) const override;
  // The residual is left alone where a value is not finite.
  absl::StatusOr<size_t> Encode(std::span<const float> values,
                                const EncodeArgs& args,
                                std::span<std::byte> target) const override;
  absl::Status Validate(std::span<const std::byte> source,
                        size_t count) const override;
  void DecodeAdd(std::span<const std::byte> source, float weight,
                 std::span<float> target) const override;

 private:
  std::unique_ptr<Codec> finite_;
};

}  // namespace terse

#endif  // TERSE_COMMON_CODEC_PROPAGATING_CODEC_H_
