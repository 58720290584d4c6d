#include <algorithm>
#include <bit>

#include "common/base/random.h"
#include "common/kernels/ternary.h"

namespace terse::reference {
namespace {

constexpr uint8_t kPowers[kTritsPerByte] = {1, 3, 9, 27, 81};

struct TernaryDraw {
  float scale;
  float factor;
  float prescale;
  uint64_t key;
  uint64_t first_index;

  TernaryDraw(float scale, uint64_t key, uint64_t first_index)
      : scale(scale),
        factor(TernaryFactor(scale)),
        prescale(scale < kTernaryScaleMin ? kTernaryPrescale : 1.0f),
        key(key),
        first_index(first_index) {}

  // Returns the digit, trit + 1; the loss goes to `loss` unless it is null.
  uint8_t operator()(float x, size_t i, float* loss) const {
    const float clamped = std::clamp(x, -scale, scale) * prescale;
    const float place = clamped * factor + kTernaryBase;
    const uint32_t dithered =
        std::bit_cast<uint32_t>(place) + RandomHalf(key, first_index, i);
    const auto digit = static_cast<uint8_t>(dithered >> 16 & 3);
    if (loss != nullptr) *loss = x - static_cast<float>(digit - 1) * scale;
    return digit;
  }
};

}  // namespace

void EncodeTernaryTail(const float* values, size_t start, size_t count,
                       float scale, uint64_t key, uint64_t first_index,
                       float* loss, uint8_t* packed) {
  const TernaryDraw draw(scale, key, first_index);
  uint8_t* byte = packed + start / kTritsPerByte;
  for (size_t i = start; i < count; i += kTritsPerByte, ++byte) {
    unsigned code = 0;
    const size_t end = std::min(count, i + kTritsPerByte);
    for (size_t e = i; e < end; ++e) {
      code += kPowers[e - i] *
              draw(values[e], e, loss == nullptr ? nullptr : loss + e);
    }
    *byte = static_cast<uint8_t>(code);
  }
}

void EncodeTernary(const float* values, size_t count, float scale, uint64_t key,
                   uint64_t first_index, float* loss, uint8_t* packed) {
  const TernaryDraw draw(scale, key, first_index);
  const size_t grouped = count / kTritGroup * kTritGroup;
  for (size_t start = 0; start < grouped; start += kTritGroup) {
    for (size_t l = 0; l < kTritGroupBytes; ++l) {
      unsigned code = 0;
      for (size_t j = 0; j < kTritsPerByte; ++j) {
        const size_t e = start + kTritGroupBytes * j + l;
        code += kPowers[j] *
                draw(values[e], e, loss == nullptr ? nullptr : loss + e);
      }
      packed[start / kTritsPerByte + l] = static_cast<uint8_t>(code);
    }
  }
  EncodeTernaryTail(values, grouped, count, scale, key, first_index, loss,
                    packed);
}

void DecodeAddTernaryTail(const uint8_t* packed, size_t start, size_t count,
                          float step, float* target) {
  for (size_t i = start; i < count; ++i) {
    const uint8_t byte = packed[i / kTritsPerByte];
    const int trit = byte / kPowers[(i - start) % kTritsPerByte] % 3 - 1;
    target[i] += static_cast<float>(trit) * step;
  }
}

void DecodeAddTernary(const uint8_t* packed, size_t count, float step,
                      float* target) {
  const size_t grouped = count / kTritGroup * kTritGroup;
  for (size_t i = 0; i < grouped; ++i) {
    const size_t in_group = i % kTritGroup;
    const uint8_t byte =
        packed[(i - in_group) / kTritsPerByte + in_group % kTritGroupBytes];
    const int trit = byte / kPowers[in_group / kTritGroupBytes] % 3 - 1;
    target[i] += static_cast<float>(trit) * step;
  }
  DecodeAddTernaryTail(packed, grouped, count, step, target);
}

uint8_t MaxByte(const uint8_t* bytes, size_t count) {
  uint8_t max = 0;
  for (size_t i = 0; i < count; ++i) max = std::max(max, bytes[i]);
  return max;
}

}  // namespace terse::reference
