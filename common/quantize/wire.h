// What the formats of all weight codes share; see FORMAT.md.
#ifndef TERSE_COMMON_QUANTIZE_WIRE_H_
#define TERSE_COMMON_QUANTIZE_WIRE_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "absl/status/status.h"

namespace terse {

inline constexpr size_t kScaleBytes = sizeof(float);

void WriteScale(float scale, std::byte* target);
float ReadScale(const std::byte* source);

inline uint8_t* Bytes(std::byte* target) {
  return reinterpret_cast<uint8_t*>(target);
}
inline const uint8_t* Bytes(const std::byte* source) {
  return reinterpret_cast<const uint8_t*>(source);
}

// Errors: DataLoss.
absl::Status CheckLength(std::span<const std::byte> source, size_t expected);

// Errors: DataLoss (bits after the last code are not 0).
absl::Status CheckPadding(const std::byte* codes, size_t count, int bits);

// Errors: InvalidArgument (negative, NaN or infinite).
absl::Status CheckScale(const std::byte* source);

}  // namespace terse

#endif  // TERSE_COMMON_QUANTIZE_WIRE_H_
