#include "common/kernels/pack_bits.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace terse {
namespace {

static_assert(std::endian::native == std::endian::little,
              "codes are moved as words");

constexpr uint64_t kOddBytes = 0xff00ff00ff00ff00u;
constexpr uint64_t kOddHalves = 0xffff0000ffff0000u;

// Eight bytes below 2^bits become 8 * bits consecutive bits, joining
// neighbours three times.
uint64_t Squeeze(uint64_t x, int bits) {
  x = (x & ~kOddBytes) | ((x & kOddBytes) >> (8 - bits));
  x = (x & ~kOddHalves) | ((x & kOddHalves) >> (16 - 2 * bits));
  return (x & 0xffffffffu) | (x >> 32 << 4 * bits);
}

// The inverse.
uint64_t Spread(uint64_t x, int bits) {
  const uint64_t four = (uint64_t{1} << 4 * bits) - 1;
  x = (x & four) | ((x >> 4 * bits & four) << 32);
  const uint64_t two = ((uint64_t{1} << 2 * bits) - 1) * 0x0000000100000001u;
  x = (x & two) | ((x >> 2 * bits & two) << 16);
  const uint64_t one = ((uint64_t{1} << bits) - 1) * 0x0001000100010001u;
  return (x & one) | ((x >> bits & one) << 8);
}

}  // namespace

void PackBits(const uint8_t* codes, size_t count, int bits, uint8_t* packed) {
  for (size_t i = 0; i < count; i += 8) {
    const size_t here = std::min<size_t>(8, count - i);
    uint64_t word = 0;
    std::memcpy(&word, codes + i, here);
    word = Squeeze(word, bits);
    std::memcpy(packed, &word, PackedBytes(here, bits));
    packed += bits;
  }
}

void UnpackBits(const uint8_t* packed, size_t count, int bits, uint8_t* codes) {
  for (size_t i = 0; i < count; i += 8) {
    const size_t here = std::min<size_t>(8, count - i);
    uint64_t word = 0;
    std::memcpy(&word, packed, PackedBytes(here, bits));
    word = Spread(word, bits);
    std::memcpy(codes + i, &word, here);
    packed += bits;
  }
}

bool PaddingIsZero(const uint8_t* packed, size_t count, int bits) {
  const size_t used = count % 8 * bits % 8;
  return used == 0 || packed[PackedBytes(count, bits) - 1] >> used == 0;
}

}  // namespace terse
