#include "worker/data/augment.h"

#include <vector>

#include "common/base/random.h"
#include "common/base/status.h"

namespace terse {
namespace {

constexpr int64_t kShiftMax = 4;

// Uniform in [-kShiftMax, kShiftMax], from 16 random bits.
int64_t Shift(uint32_t bits) {
  return static_cast<int64_t>(bits * (2 * kShiftMax + 1) >> 16) - kShiftMax;
}

}  // namespace

void ShiftAndMirror(const Shape& shape, uint64_t key, uint64_t sample,
                    std::span<float> values) {
  TERSE_CHECK(shape.size() == 3 && ElementCount(shape) == values.size());
  const uint32_t bits = RandomBits(key, 2 * sample);
  const int64_t down = Shift(bits & 0xffff);
  const int64_t right = Shift(bits >> 16);
  const bool mirror = (RandomBits(key, 2 * sample + 1) & 1) != 0;
  const auto height = static_cast<int64_t>(shape[1]);
  const auto width = static_cast<int64_t>(shape[2]);
  const std::vector<float> from(values.begin(), values.end());
  size_t at = 0;
  for (uint64_t channel = 0; channel < shape[0]; ++channel) {
    const float* picture =
        from.data() + channel * static_cast<uint64_t>(height * width);
    for (int64_t y = 0; y < height; ++y) {
      for (int64_t x = 0; x < width; ++x, ++at) {
        const int64_t from_y = y - down;
        const int64_t from_x = (mirror ? width - 1 - x : x) - right;
        const bool inside =
            from_y >= 0 && from_y < height && from_x >= 0 && from_x < width;
        values[at] = inside ? picture[from_y * width + from_x] : 0.f;
      }
    }
  }
}

}  // namespace terse
