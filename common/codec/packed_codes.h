// All codes of a block out of their packing (FORMAT.md, "Packed codes") and
// back, for codecs that look at each.
#ifndef TERSE_COMMON_CODEC_PACKED_CODES_H_
#define TERSE_COMMON_CODEC_PACKED_CODES_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "common/kernels/pack.h"

namespace terse {

// Code: uint8_t for up to 8 bits, else uint16_t.
template <typename Code>
void UnpackAll(const uint8_t* packed, size_t count, uint32_t bits,
               Code* codes) {
  for (; count >= kPackGroup; count -= kPackGroup, codes += kPackGroup) {
    reference::UnpackGroup(packed, bits, codes);
    packed += PackedCodeBytes(kPackGroup, bits);
  }
  reference::UnpackRest(packed, count, bits, codes);
}

template <typename Code>
void PackAll(const Code* codes, size_t count, uint32_t bits, uint8_t* packed) {
  for (; count >= kPackGroup; count -= kPackGroup, codes += kPackGroup) {
    reference::PackGroup(codes, bits, packed);
    packed += PackedCodeBytes(kPackGroup, bits);
  }
  reference::PackRest(codes, count, bits, packed);
}

}  // namespace terse

#endif  // TERSE_COMMON_CODEC_PACKED_CODES_H_
