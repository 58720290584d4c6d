// Stochastic ternary codes (TernGrad, Wen et al., arXiv 1705.07878), five to a
// byte: byte = sum of (trit_j + 1) * 3^j, 0..242.
//
// Which five: in whole groups of 320 elements, byte l (0..63) of the group
// takes trit j from element 64 j + l, so that vectors need no shuffles; the
// rest (fewer than 320 elements) takes five consecutive elements to a byte, and
// the digits missing from the last byte are 0.
#ifndef TERSE_COMMON_KERNELS_TERNARY_H_
#define TERSE_COMMON_KERNELS_TERNARY_H_

#include <cstddef>
#include <cstdint>

namespace terse {

inline constexpr size_t kTritsPerByte = 5;
inline constexpr size_t kTritGroupBytes = 64;
inline constexpr size_t kTritGroup = kTritGroupBytes * kTritsPerByte;
inline constexpr uint32_t kTritCodes = 243;

// Bytes of `count` trits.
constexpr size_t PackedTritBytes(size_t count) {
  return count / kTritGroup * kTritGroupBytes +
         (count % kTritGroup + kTritsPerByte - 1) / kTritsPerByte;
}

// Element i becomes sign(x_i) with probability min(|x_i| / scale, 1), else 0:
// the digit trit_i + 1 is the whole part of clamp(x_i, -scale, scale) / scale +
// 1 in steps of 2^-16, plus 16 random bits, RandomHalf(key, first_index, i). So
// |x_i| >= scale is always kept and 0 never. A scale of 0 makes all trits 0.
// With `loss` (may be `values` itself) loss[i] becomes x_i - trit_i * scale.
// Requires finite values and scale >= 0; `packed` has PackedTritBytes(count)
// bytes.
void EncodeTernary(const float* values, size_t count, float scale, uint64_t key,
                   uint64_t first_index, float* loss, uint8_t* packed);

// target[i] += trit_i * step. Requires bytes below 243.
void DecodeAddTernary(const uint8_t* packed, size_t count, float step,
                      float* target);

// Largest of `count` bytes; 0 if there are none.
uint8_t MaxByte(const uint8_t* bytes, size_t count);

namespace reference {

void EncodeTernary(const float* values, size_t count, float scale, uint64_t key,
                   uint64_t first_index, float* loss, uint8_t* packed);
void DecodeAddTernary(const uint8_t* packed, size_t count, float step,
                      float* target);
uint8_t MaxByte(const uint8_t* bytes, size_t count);

// The same for the last count % 320 elements alone, which start at `start`; the
// kernels end with them.
void EncodeTernaryTail(const float* values, size_t start, size_t count,
                       float scale, uint64_t key, uint64_t first_index,
                       float* loss, uint8_t* packed);
void DecodeAddTernaryTail(const uint8_t* packed, size_t start, size_t count,
                          float step, float* target);

}  // namespace reference

// Scales below this (but 0) make the factor overflow; values and scale are then
// taken times 2^96, which is exact.
inline constexpr float kTernaryScaleMin = 0x1p-90f;
inline constexpr float kTernaryPrescale = 0x1p96f;

// (x * TernaryFactor(scale) + kTernaryBase) has the place of x on the grid,
// from 0 to 2^17, in its lowest bits: the sum's last place is 1.
inline constexpr float kTernaryBase = 0x1p23f + 0x1p16f;

// 2^16 / scale, for values taken times the prescale.
constexpr float TernaryFactor(float scale) {
  if (!(scale > 0)) return 0;
  return 0x1p16f /
         (scale < kTernaryScaleMin ? scale * kTernaryPrescale : scale);
}

}  // namespace terse

#endif  // TERSE_COMMON_KERNELS_TERNARY_H_
