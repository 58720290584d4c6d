#include "common/codec/payload.h"

#include <bit>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "common/base/string_view.h"
#include "common/kernels/moments.h"

namespace terse {

absl::Status NonFiniteError(std::span<const float> values) {
  for (size_t i = 0; i < values.size(); ++i) {
    if (!std::isfinite(values[i])) {
      return absl::InvalidArgumentError(
          absl::StrCat("element ", i, " of the block is ", values[i],
                       "; lower the learning rate or clip the gradient"));
    }
  }
  return absl::InvalidArgumentError(
      "gradient and error-feedback residual add up to a NaN or an infinity; "
      "lower the learning rate or clip the gradient");
}

absl::Status CheckSize(std::string_view codec, size_t bytes, size_t expected) {
  if (bytes == expected) return absl::OkStatus();
  return absl::DataLossError(absl::StrCat(ToAbsl(codec), " payload has ", bytes,
                                          " bytes, expected ", expected));
}

absl::Status CheckScales(std::string_view codec, const uint8_t* source,
                         size_t count) {
  for (size_t i = 0; i < count; ++i) {
    const float scale = ReadFloat(source + i * sizeof(float));
    // A sign bit makes the pattern larger than infinity's.
    if (std::bit_cast<uint32_t>(scale) >= kInfinityBits) {
      return absl::InvalidArgumentError(
          absl::StrCat(ToAbsl(codec), " payload: scale ", i, " is ", scale,
                       ", must be finite and not negative"));
    }
  }
  return absl::OkStatus();
}

absl::Status PaddingError(std::string_view codec) {
  return absl::DataLossError(
      absl::StrCat(ToAbsl(codec), " payload: padding is not zero"));
}

}  // namespace terse
