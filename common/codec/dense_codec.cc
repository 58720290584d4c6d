#include "common/codec/dense_codec.h"

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/codec/payload.h"

namespace terse {

std::string DenseCodec::Describe() const {
  switch (format_) {
    case FloatFormat::kBinary16:
      return "fp16";
    case FloatFormat::kBfloat16:
      return "bf16";
    default:
      return "none";
  }
}

size_t DenseCodec::MaxEncodedBytes(size_t count) const {
  return count * FloatFormatBytes(format_);
}

size_t DenseCodec::TypicalEncodedBytes(size_t count) const {
  return MaxEncodedBytes(count);
}

absl::StatusOr<size_t> DenseCodec::Encode(std::span<const float> values,
                                          const EncodeArgs& args,
                                          std::span<std::byte> target) const {
  TERSE_CHECK(target.size() >= MaxEncodedBytes(values.size()));
  if (!EncodeFloats(format_, values.data(), values.size(),
                    ResidualOf(args.residual), BytesOf(target))) {
    return NonFiniteError(values);
  }
  return MaxEncodedBytes(values.size());
}

absl::Status DenseCodec::Validate(std::span<const std::byte> source,
                                  size_t count) const {
  TERSE_RETURN_IF_ERROR(
      CheckSize(Describe(), source.size(), MaxEncodedBytes(count)));
  if (!AllFloatsFinite(format_, BytesOf(source), count)) {
    return absl::InvalidArgumentError(
        absl::StrCat(Describe(), " payload: a value is not finite"));
  }
  return absl::OkStatus();
}

void DenseCodec::DecodeAdd(std::span<const std::byte> source, float weight,
                           std::span<float> target) const {
  DecodeAddFloats(format_, BytesOf(source), target.size(), weight,
                  target.data());
}

}  // namespace terse
