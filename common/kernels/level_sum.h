// Sums of levels as integers: packed codes of many workers are added without
// going through floats, packed for the way down, and become floats once. How
// trits are packed: ternary.h; how codes: pack.h.
#ifndef TERSE_COMMON_KERNELS_LEVEL_SUM_H_
#define TERSE_COMMON_KERNELS_LEVEL_SUM_H_

#include <cstddef>
#include <cstdint>

namespace terse {

// sums[i] += trit_i. Requires bytes below 243 and sums that do not overflow.
void AddTernary(const uint8_t* packed, size_t count, int8_t* sums);
void AddTernary(const uint8_t* packed, size_t count, int16_t* sums);
void AddTernary(const uint8_t* packed, size_t count, int32_t* sums);

// sums[i] += code_i - zero, of packed codes of 1..16 bits. Requires sums that
// do not overflow.
void AddCodes(const uint8_t* packed, size_t count, uint32_t bits, uint32_t zero,
              int8_t* sums);
void AddCodes(const uint8_t* packed, size_t count, uint32_t bits, uint32_t zero,
              int16_t* sums);
void AddCodes(const uint8_t* packed, size_t count, uint32_t bits, uint32_t zero,
              int32_t* sums);

// Packs the codes sums[i] + bias, of 1..8 bits, 9..16 and 17..32 respectively.
// Codes of more than 16 bits are packed as two strings: of all lower 16 bits,
// then of all upper bits.
// Requires: 0 <= sums[i] + bias < 2^bits; PackedSumBytes(count, bits) bytes.
void PackSums(const int8_t* sums, size_t count, uint32_t bias, uint32_t bits,
              uint8_t* packed);
void PackSums(const int16_t* sums, size_t count, uint32_t bias, uint32_t bits,
              uint8_t* packed);
void PackSums(const int32_t* sums, size_t count, uint32_t bias, uint32_t bits,
              uint8_t* packed);
size_t PackedSumBytes(size_t count, uint32_t bits);

// Whether all packed codes are at most `top` < 2^bits and the padding is zero.
bool SumsAreValid(const uint8_t* packed, size_t count, uint32_t bits,
                  uint32_t top);

// target[i] = (float(code_i) - middle) * step: the product is rounded once.
// Requires: codes below 2^24, `middle` a multiple of 1/2 below 2^23.
void UnpackSums(const uint8_t* packed, size_t count, uint32_t bits,
                float middle, float step, float* target);

// target[i] = (float(sums[i]) + offset) * step, as UnpackSums after PackSums
// with a bias of middle + offset.
void ScaleSums(const int8_t* sums, size_t count, float offset, float step,
               float* target);
void ScaleSums(const int16_t* sums, size_t count, float offset, float step,
               float* target);
void ScaleSums(const int32_t* sums, size_t count, float offset, float step,
               float* target);

namespace reference {

// Sum: int8_t, int16_t, int32_t.
template <typename Sum>
void AddTernary(const uint8_t* packed, size_t count, Sum* sums);
// The last count % 320 elements, which start at `start`.
template <typename Sum>
void AddTernaryTail(const uint8_t* packed, size_t start, size_t count,
                    Sum* sums);
template <typename Sum>
void PackSums(const Sum* sums, size_t count, uint32_t bias, uint32_t bits,
              uint8_t* packed);
void UnpackSums(const uint8_t* packed, size_t count, uint32_t bits,
                float middle, float step, float* target);
template <typename Sum>
void AddCodes(const uint8_t* packed, size_t count, uint32_t bits, uint32_t zero,
              Sum* sums);
// Largest of `count` codes of 17 to 32 bits; 0 if there are none.
uint32_t MaxWideCode(const uint8_t* packed, size_t count, uint32_t bits);

}  // namespace reference
}  // namespace terse

#endif  // TERSE_COMMON_KERNELS_LEVEL_SUM_H_
