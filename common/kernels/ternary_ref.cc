#include <algorithm>
#include <cmath>

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

  TernaryDraw(float scale, uint64_t key)
      : scale(scale),
        factor(TernaryFactor(scale)),
        prescale(scale < kTernaryScaleMin ? kTernaryPrescale : 1.0f),
        key(key) {}

  // Returns the digit, trit + 1; the loss goes to `loss` unless it is null.
  uint8_t operator()(float x, uint64_t index, float* loss) const {
    const float u =
        static_cast<float>(static_cast<int32_t>(RandomBits(key, index) >> 1));
    const bool keep = u < std::fabs(x) * prescale * factor;
    const float sent = keep ? std::copysign(scale, x) : 0.0f;
    if (loss != nullptr) *loss = x - sent;
    return keep ? (std::signbit(x) ? 0 : 2) : 1;
  }
};

}  // namespace

void EncodeTernaryTail(const float* values, size_t start, size_t count,
                       float scale, uint64_t key, uint64_t first_index,
                       float* loss, uint8_t* packed) {
  const TernaryDraw draw(scale, key);
  uint8_t* byte = packed + start / kTritsPerByte;
  for (size_t i = start; i < count; i += kTritsPerByte, ++byte) {
    unsigned code = 0;
    const size_t end = std::min(count, i + kTritsPerByte);
    for (size_t e = i; e < end; ++e) {
      code += kPowers[e - i] * draw(values[e], first_index + e,
                                    loss == nullptr ? nullptr : loss + e);
    }
    *byte = static_cast<uint8_t>(code);
  }
}

void EncodeTernary(const float* values, size_t count, float scale, uint64_t key,
                   uint64_t first_index, float* loss, uint8_t* packed) {
  const TernaryDraw draw(scale, key);
  const size_t grouped = count / kTritGroup * kTritGroup;
  for (size_t start = 0; start < grouped; start += kTritGroup) {
    for (size_t l = 0; l < kTritGroupBytes; ++l) {
      unsigned code = 0;
      for (size_t j = 0; j < kTritsPerByte; ++j) {
        const size_t e = start + kTritGroupBytes * j + l;
        code += kPowers[j] * draw(values[e], first_index + e,
                                  loss == nullptr ? nullptr : loss + e);
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
