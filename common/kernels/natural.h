// Natural compression (Horvath et al., arXiv 1905.10988): every element becomes
// one of the two powers of two around it (or 0), at random so that the mean is
// kept. A code is the sign and the exponent of a float, 9 bits, packed as in
// pack.h.
#ifndef TERSE_COMMON_KERNELS_NATURAL_H_
#define TERSE_COMMON_KERNELS_NATURAL_H_

#include <cstddef>
#include <cstdint>

namespace terse {

inline constexpr uint32_t kNaturalBits = 9;

// Exponent fields 255 stand for nothing.
inline constexpr uint32_t kNaturalExponentMax = 254;

// The upper 9 bits of bits(|x|) + (RandomBits(key, first_index + i) >> 9), the
// exponent at most 254, with x's sign on top: code = sign << 8 | exponent.
// With `residual`, what is encoded is residual + value and the residual becomes
// the loss. Returns whether all inputs were finite; the outputs mean nothing
// otherwise.
bool EncodeNatural(const float* values, size_t count, uint64_t key,
                   uint64_t first_index, float* residual, uint8_t* packed);

// target[i] += weight * value, value = +-2^(exponent - 127), and 0 for an
// exponent of 0.
void DecodeAddNatural(const uint8_t* packed, size_t count, float weight,
                      float* target);

// Whether no exponent is above kNaturalExponentMax.
bool NaturalCodesAreValid(const uint8_t* packed, size_t count);

namespace reference {

bool EncodeNatural(const float* values, size_t count, uint64_t key,
                   uint64_t first_index, float* residual, uint8_t* packed);
void DecodeAddNatural(const uint8_t* packed, size_t count, float weight,
                      float* target);
bool NaturalCodesAreValid(const uint8_t* packed, size_t count);

}  // namespace reference
}  // namespace terse

#endif  // TERSE_COMMON_KERNELS_NATURAL_H_
