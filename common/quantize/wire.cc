#include "common/quantize/wire.h"

#include <bit>
#include <cmath>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "common/kernels/pack_bits.h"

namespace terse {

static_assert(std::endian::native == std::endian::little);

void WriteScale(float scale, std::byte* target) {
  std::memcpy(target, &scale, kScaleBytes);
}

float ReadScale(const std::byte* source) {
  float scale;
  std::memcpy(&scale, source, kScaleBytes);
  return scale;
}

absl::Status CheckLength(std::span<const std::byte> source, size_t expected) {
  if (source.size() == expected) return absl::OkStatus();
  return absl::DataLossError(absl::StrCat("weight codes have ", source.size(),
                                          " bytes instead of ", expected));
}

absl::Status CheckPadding(const std::byte* codes, size_t count, int bits) {
  if (PaddingIsZero(Bytes(codes), count, bits)) return absl::OkStatus();
  return absl::DataLossError(
      absl::StrCat("weight codes have bits after the last of ", count));
}

absl::Status CheckScale(const std::byte* source) {
  const float scale = ReadScale(source);
  if (std::isfinite(scale) && scale >= 0) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("scale of weight codes is ", scale));
}

}  // namespace terse
