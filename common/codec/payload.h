// What the codecs share: fields of payloads and the errors about them. All
// integers and floats are little-endian, at any alignment.
#ifndef TERSE_COMMON_CODEC_PAYLOAD_H_
#define TERSE_COMMON_CODEC_PAYLOAD_H_

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

#include "absl/status/status.h"

namespace terse {

inline uint8_t* BytesOf(std::span<std::byte> target) {
  return reinterpret_cast<uint8_t*>(target.data());
}
inline const uint8_t* BytesOf(std::span<const std::byte> source) {
  return reinterpret_cast<const uint8_t*>(source.data());
}

inline void WriteFloat(float value, uint8_t* target) {
  std::memcpy(target, &value, sizeof(value));
}
inline float ReadFloat(const uint8_t* source) {
  float value;
  std::memcpy(&value, source, sizeof(value));
  return value;
}

// Null for no error feedback; kernels take it so.
inline float* ResidualOf(std::span<float> residual) {
  return residual.empty() ? nullptr : residual.data();
}

// InvalidArgument that names the first value (or sum with its residual) which
// is not finite.
absl::Status NonFiniteError(std::span<const float> values);

// DataLoss unless a payload of `codec` has the `expected` bytes.
absl::Status CheckSize(std::string_view codec, size_t bytes, size_t expected);

// InvalidArgument unless the `count` float32 at `source` are +0 or positive and
// finite.
absl::Status CheckScales(std::string_view codec, const uint8_t* source,
                         size_t count);

absl::Status PaddingError(std::string_view codec);

}  // namespace terse

#endif  // TERSE_COMMON_CODEC_PAYLOAD_H_
