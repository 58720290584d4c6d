#include "common/codec/natural_codec.h"

#include "common/base/status.h"
#include "common/codec/payload.h"
#include "common/kernels/natural.h"
#include "common/kernels/pack.h"

namespace terse {

size_t NaturalCodec::MaxEncodedBytes(size_t count) const {
  return PackedCodeBytes(count, kNaturalBits);
}

size_t NaturalCodec::TypicalEncodedBytes(size_t count) const {
  return MaxEncodedBytes(count);
}

absl::StatusOr<size_t> NaturalCodec::Encode(std::span<const float> values,
                                            const EncodeArgs& args,
                                            std::span<std::byte> target) const {
  TERSE_CHECK(target.size() >= MaxEncodedBytes(values.size()));
  if (!EncodeNatural(values.data(), values.size(), args.key, args.first_index,
                     ResidualOf(args.residual), BytesOf(target))) {
    return NonFiniteError(values);
  }
  return MaxEncodedBytes(values.size());
}

absl::Status NaturalCodec::Validate(std::span<const std::byte> source,
                                    size_t count) const {
  TERSE_RETURN_IF_ERROR(
      CheckSize("natural", source.size(), MaxEncodedBytes(count)));
  if (!NaturalCodesAreValid(BytesOf(source), count)) {
    return absl::DataLossError("natural payload: an exponent is 255");
  }
  const size_t last_bits = count % kPackGroup * kNaturalBits % 8;
  if (last_bits != 0 && BytesOf(source)[source.size() - 1] >> last_bits != 0) {
    return PaddingError("natural");
  }
  return absl::OkStatus();
}

void NaturalCodec::DecodeAdd(std::span<const std::byte> source, float weight,
                             std::span<float> target) const {
  DecodeAddNatural(BytesOf(source), target.size(), weight, target.data());
}

}  // namespace terse
