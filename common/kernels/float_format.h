// Dense floats on the wire: IEEE binary32, binary16 and bfloat16, little-endian
// at any alignment, rounded half to even. A magnitude beyond a 16-bit format's
// largest finite value becomes that value (65504 in binary16), so that a finite
// gradient stays finite.
#ifndef TERSE_COMMON_KERNELS_FLOAT_FORMAT_H_
#define TERSE_COMMON_KERNELS_FLOAT_FORMAT_H_

#include <cstddef>
#include <cstdint>

namespace terse {

enum class FloatFormat { kBinary32, kBinary16, kBfloat16 };

constexpr size_t FloatFormatBytes(FloatFormat format) {
  return format == FloatFormat::kBinary32 ? 4 : 2;
}

// Encodes values (plus the residual, if not null, which becomes the loss).
// Returns whether all inputs were finite; the outputs mean nothing otherwise.
bool EncodeFloats(FloatFormat format, const float* values, size_t count,
                  float* residual, uint8_t* target);

// target[i] += weight * source[i].
void DecodeAddFloats(FloatFormat format, const uint8_t* source, size_t count,
                     float weight, float* target);

// Whether no source is a NaN or an infinity.
bool AllFloatsFinite(FloatFormat format, const uint8_t* source, size_t count);

namespace reference {

// One value's bits in `format`, and back.
uint32_t FloatToFormat(FloatFormat format, float x);
float FormatToFloat(FloatFormat format, uint32_t bits);

bool EncodeFloats(FloatFormat format, const float* values, size_t count,
                  float* residual, uint8_t* target);
void DecodeAddFloats(FloatFormat format, const uint8_t* source, size_t count,
                     float weight, float* target);
bool AllFloatsFinite(FloatFormat format, const uint8_t* source, size_t count);

}  // namespace reference
}  // namespace terse

#endif  // TERSE_COMMON_KERNELS_FLOAT_FORMAT_H_
