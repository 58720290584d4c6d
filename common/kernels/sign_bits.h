// Signs as bits: bit i % 8 of byte i / 8 belongs to element i, the bits after
// the last element are 0.
#ifndef TERSE_COMMON_KERNELS_SIGN_BITS_H_
#define TERSE_COMMON_KERNELS_SIGN_BITS_H_

#include <cstddef>
#include <cstdint>

namespace terse {

constexpr size_t SignBytes(size_t count) { return (count + 7) / 8; }

// 1 where values[i] >= 0 (both zeros), 0 where it is negative or NaN.
void PackSigns(const float* values, size_t count, uint8_t* bits);

// 1 with probability clip((x + 1) / 2, 0, 1), that is where
// RandomUnit(key, first_index + i) < (x + 1) / 2; 0 where x is NaN.
void PackStochasticSigns(const float* values, size_t count, uint64_t key,
                         uint64_t first_index, uint8_t* bits);

// target[i] = bit i ? magnitude : -magnitude.
void UnpackSigns(const uint8_t* bits, size_t count, float magnitude,
                 float* target);

// The plain definitions.
namespace reference {

void PackSigns(const float* values, size_t count, uint8_t* bits);
void PackStochasticSigns(const float* values, size_t count, uint64_t key,
                         uint64_t first_index, uint8_t* bits);
void UnpackSigns(const uint8_t* bits, size_t count, float magnitude,
                 float* target);

}  // namespace reference

}  // namespace terse

#endif  // TERSE_COMMON_KERNELS_SIGN_BITS_H_
