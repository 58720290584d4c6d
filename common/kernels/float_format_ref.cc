#include <algorithm>
#include <bit>
#include <cmath>

#include "common/kernels/float_format.h"

namespace terse::reference {
namespace {

// Drops the lowest `drop` bits, half to even.
constexpr uint32_t RoundBits(uint32_t bits, int drop) {
  const uint32_t odd = (bits >> drop) & 1;
  return (bits + (1u << (drop - 1)) - 1 + odd) >> drop;
}

uint32_t Binary16Magnitude(float magnitude) {
  magnitude = std::min(magnitude, 65504.0f);
  // Below 2^-14 the result is subnormal: a multiple of 2^-24, which float
  // addition to 0.5 (whose last place is 2^-24) rounds to.
  if (magnitude < 0x1p-14f) {
    const float shifted = magnitude + 0.5f;
    return std::bit_cast<uint32_t>(shifted) - 0x3f000000u;
  }
  return RoundBits(std::bit_cast<uint32_t>(magnitude) - (112u << 23), 13);
}

uint32_t Bfloat16Magnitude(float magnitude) {
  return std::min(RoundBits(std::bit_cast<uint32_t>(magnitude), 16), 0x7f7fu);
}

void Write(uint32_t bits, size_t bytes, uint8_t* target) {
  for (size_t b = 0; b < bytes; ++b) target[b] = bits >> (8 * b) & 0xff;
}

uint32_t Read(const uint8_t* source, size_t bytes) {
  uint32_t bits = 0;
  for (size_t b = 0; b < bytes; ++b) bits |= uint32_t{source[b]} << (8 * b);
  return bits;
}

}  // namespace

uint32_t FloatToFormat(FloatFormat format, float x) {
  if (format == FloatFormat::kBinary32) return std::bit_cast<uint32_t>(x);
  const uint32_t sign = (std::bit_cast<uint32_t>(x) >> 16) & 0x8000u;
  const float magnitude = std::fabs(x);
  return sign |
         (format == FloatFormat::kBinary16 ? Binary16Magnitude(magnitude)
                                           : Bfloat16Magnitude(magnitude));
}

float FormatToFloat(FloatFormat format, uint32_t bits) {
  if (format == FloatFormat::kBinary32) return std::bit_cast<float>(bits);
  if (format == FloatFormat::kBfloat16) return std::bit_cast<float>(bits << 16);
  // An infinity's or NaN's exponent stays on top of a float's.
  if ((bits & 0x7c00u) == 0x7c00u) {
    return std::bit_cast<float>((bits & 0x8000u) << 16 | 0x7f800000u |
                                (bits & 0x3ffu) << 13);
  }
  // Exponent and mantissa in a float's place are 2^-112 too small; the product
  // sets that right, subnormals included.
  const float magnitude =
      std::bit_cast<float>((bits & 0x7fffu) << 13) * 0x1p112f;
  return (bits & 0x8000u) != 0 ? -magnitude : magnitude;
}

bool EncodeFloats(FloatFormat format, const float* values, size_t count,
                  float* residual, uint8_t* target) {
  const size_t bytes = FloatFormatBytes(format);
  bool finite = true;
  for (size_t i = 0; i < count; ++i) {
    const float x = residual != nullptr ? residual[i] + values[i] : values[i];
    finite = finite && std::isfinite(x);
    const uint32_t bits = FloatToFormat(format, x);
    Write(bits, bytes, target + i * bytes);
    if (residual != nullptr) residual[i] = x - FormatToFloat(format, bits);
  }
  return finite;
}

void DecodeAddFloats(FloatFormat format, const uint8_t* source, size_t count,
                     float weight, float* target) {
  const size_t bytes = FloatFormatBytes(format);
  for (size_t i = 0; i < count; ++i) {
    target[i] +=
        weight * FormatToFloat(format, Read(source + i * bytes, bytes));
  }
}

bool AllFloatsFinite(FloatFormat format, const uint8_t* source, size_t count) {
  const size_t bytes = FloatFormatBytes(format);
  for (size_t i = 0; i < count; ++i) {
    if (!std::isfinite(
            FormatToFloat(format, Read(source + i * bytes, bytes)))) {
      return false;
    }
  }
  return true;
}

}  // namespace terse::reference
