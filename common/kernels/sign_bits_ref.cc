#include <algorithm>

#include "common/base/random.h"
#include "common/kernels/sign_bits.h"

namespace terse::reference {

void PackSigns(const float* values, size_t count, uint8_t* bits) {
  std::fill_n(bits, SignBytes(count), uint8_t{0});
  for (size_t i = 0; i < count; ++i) {
    bits[i / 8] |= static_cast<uint8_t>((values[i] >= 0) << i % 8);
  }
}

void PackStochasticSigns(const float* values, size_t count, uint64_t key,
                         uint64_t first_index, uint8_t* bits) {
  std::fill_n(bits, SignBytes(count), uint8_t{0});
  for (size_t i = 0; i < count; ++i) {
    const float probability = (values[i] + 1) * 0.5f;
    const bool up = RandomUnit(key, first_index + i) < probability;
    bits[i / 8] |= static_cast<uint8_t>(up << i % 8);
  }
}

void UnpackSigns(const uint8_t* bits, size_t count, float magnitude,
                 float* target) {
  for (size_t i = 0; i < count; ++i) {
    target[i] = (bits[i / 8] >> i % 8) & 1 ? magnitude : -magnitude;
  }
}

}  // namespace terse::reference
