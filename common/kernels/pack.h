// Codes of 1 to 16 bits, packed.
//
// Whole groups of 512 codes are packed down columns, so that vectors need no
// shuffles. With words of W bits (W = 8 for codes of up to 8 bits, else 16,
// little-endian) a group has R = 512 / W columns; column c strings together
// the codes c, c + R, c + 2R, ... (W of them, first code in the lowest bits)
// into `bits` words, and word w of column c is the group's word number w R + c.
// The rest (fewer than 512 codes) is one string of bits, first code and lowest
// bit first; the bits missing from its last byte are 0.
#ifndef TERSE_COMMON_KERNELS_PACK_H_
#define TERSE_COMMON_KERNELS_PACK_H_

#include <cstddef>
#include <cstdint>

namespace terse {

inline constexpr size_t kPackGroup = 512;

// Bytes of `count` codes of `bits` bits.
constexpr size_t PackedCodeBytes(size_t count, uint32_t bits) {
  return count / kPackGroup * (kPackGroup / 8) * bits +
         (count % kPackGroup * bits + 7) / 8;
}

// Bits of the narrowest code for 0..top.
constexpr uint32_t CodeBits(uint32_t top) {
  uint32_t bits = 1;
  while (bits < 32 && (top >> bits) != 0) ++bits;
  return bits;
}

// All of a block's codes. Code = uint8_t for up to 8 bits, else uint16_t.
void PackAll(const uint8_t* codes, size_t count, uint32_t bits,
             uint8_t* packed);
void PackAll(const uint16_t* codes, size_t count, uint32_t bits,
             uint8_t* packed);
void UnpackAll(const uint8_t* packed, size_t count, uint32_t bits,
               uint8_t* codes);
void UnpackAll(const uint8_t* packed, size_t count, uint32_t bits,
               uint16_t* codes);

namespace reference {

// One group, Code = uint8_t for up to 8 bits, else uint16_t.
template <typename Code>
void PackGroup(const Code* codes, uint32_t bits, uint8_t* packed);
template <typename Code>
void UnpackGroup(const uint8_t* packed, uint32_t bits, Code* codes);

// The rest: `count` < 512 codes.
template <typename Code>
void PackRest(const Code* codes, size_t count, uint32_t bits, uint8_t* packed);
template <typename Code>
void UnpackRest(const uint8_t* packed, size_t count, uint32_t bits,
                Code* codes);

}  // namespace reference
}  // namespace terse

#endif  // TERSE_COMMON_KERNELS_PACK_H_
