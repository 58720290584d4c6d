#include <algorithm>
#include <bit>

#include "common/base/random.h"
#include "common/kernels/moments.h"
#include "common/kernels/natural.h"
#include "common/kernels/pack.h"

namespace terse::reference {
namespace {

float ValueOf(uint32_t code) {
  return std::bit_cast<float>((code & 0xffu) << 23 | (code & 0x100u) << 23);
}

// Calls visit(i, code) for every packed code until it returns false.
template <typename Visit>
bool AllCodes(const uint8_t* packed, size_t count, Visit visit) {
  uint16_t codes[kPackGroup];
  for (size_t start = 0; start < count; start += kPackGroup) {
    const size_t size = std::min(kPackGroup, count - start);
    if (size == kPackGroup) {
      UnpackGroup(packed, kNaturalBits, codes);
    } else {
      UnpackRest(packed, size, kNaturalBits, codes);
    }
    for (size_t i = 0; i < size; ++i) {
      if (!visit(start + i, codes[i])) return false;
    }
    packed += PackedCodeBytes(kPackGroup, kNaturalBits);
  }
  return true;
}

}  // namespace

bool EncodeNatural(const float* values, size_t count, uint64_t key,
                   uint64_t first_index, float* residual, uint8_t* packed) {
  uint16_t codes[kPackGroup];
  uint32_t max = 0;
  for (size_t i = 0; i < count; ++i) {
    const float x = residual != nullptr ? residual[i] + values[i] : values[i];
    const uint32_t bits = std::bit_cast<uint32_t>(x);
    const uint32_t magnitude = bits & 0x7fffffffu;
    max = std::max(max, magnitude);
    const uint32_t dither = RandomBits(key, first_index + i) >> 9;
    const uint32_t exponent =
        std::min((magnitude + dither) >> 23, kNaturalExponentMax);
    const uint32_t code = exponent | (bits >> 31) << 8;
    if (residual != nullptr) residual[i] = x - ValueOf(code);
    codes[i % kPackGroup] = static_cast<uint16_t>(code);
    if ((i + 1) % kPackGroup == 0) {
      PackGroup(codes, kNaturalBits, packed);
      packed += PackedCodeBytes(kPackGroup, kNaturalBits);
    }
  }
  PackRest(codes, count % kPackGroup, kNaturalBits, packed);
  return max < kInfinityBits;
}

void DecodeAddNatural(const uint8_t* packed, size_t count, float weight,
                      float* target) {
  AllCodes(packed, count, [&](size_t i, uint32_t code) {
    target[i] += weight * ValueOf(code);
    return true;
  });
}

bool NaturalCodesAreValid(const uint8_t* packed, size_t count) {
  return AllCodes(packed, count, [](size_t, uint32_t code) {
    return (code & 0xffu) <= kNaturalExponentMax;
  });
}

}  // namespace terse::reference
