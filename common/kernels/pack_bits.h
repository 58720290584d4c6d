// Codes of 1 to 8 bits, packed without gaps: code i takes the bits
// [i * bits, (i + 1) * bits) of a little-endian bit string, the bits after the
// last code are 0. Integer arithmetic on words of eight codes; the same bytes
// everywhere.
#ifndef TERSE_COMMON_KERNELS_PACK_BITS_H_
#define TERSE_COMMON_KERNELS_PACK_BITS_H_

#include <cstddef>
#include <cstdint>

namespace terse {

constexpr size_t PackedBytes(size_t count, int bits) {
  return count / 8 * bits + (count % 8 * bits + 7) / 8;
}

// Requires: codes below 2^bits, PackedBytes(count, bits) bytes of `packed`.
void PackBits(const uint8_t* codes, size_t count, int bits, uint8_t* packed);

void UnpackBits(const uint8_t* packed, size_t count, int bits, uint8_t* codes);

// Whether the bits after the last code are 0.
bool PaddingIsZero(const uint8_t* packed, size_t count, int bits);

}  // namespace terse

#endif  // TERSE_COMMON_KERNELS_PACK_BITS_H_
