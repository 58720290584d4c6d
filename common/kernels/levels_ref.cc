#include <algorithm>
#include <cfloat>
#include <cmath>
#include <cstring>

#include "common/base/random.h"
#include "common/kernels/levels.h"
#include "common/kernels/moments.h"
#include "common/kernels/pack.h"

namespace terse {
namespace {

constexpr float kNormMin = 0x1p-100f;

// The norm that makes the step the smallest power of two with max_abs within
// reach. Beyond the largest finite such norm the codes are clamped.
float PowerOfTwoNorm(float middle, float max_abs) {
  int exponent = 0;
  std::frexp(max_abs / middle, &exponent);
  while (std::ldexp(double{middle}, exponent - 1) >= max_abs) --exponent;
  while (std::ldexp(double{middle}, exponent) > FLT_MAX) --exponent;
  return std::ldexp(middle, exponent);
}

}  // namespace

float LevelStep(const LevelGrid& grid, float norm) {
  return norm / (static_cast<float>(grid.top) / 2);
}

LevelScale MakeLevelScale(const LevelGrid& grid, float max_abs,
                          double sum_squares) {
  const float middle = static_cast<float>(grid.top) / 2;
  float norm = max_abs;
  if (grid.norm == LevelNorm::kL2) {
    norm = static_cast<float>(
        std::min(std::sqrt(sum_squares), static_cast<double>(FLT_MAX)));
  }
  // For a top of 1 the step is twice the norm and must stay finite.
  norm = std::min(norm, FLT_MAX / 2);
  if (!(norm >= kNormMin)) return {0, 0, 0, 0};
  if (grid.norm == LevelNorm::kPowerOfTwo) norm = PowerOfTwoNorm(middle, norm);
  return {norm, middle / norm, grid.top % 2 != 0 ? 0.5f : 0.0f,
          LevelStep(grid, norm)};
}

uint32_t EncodeLevel(const LevelOffsets& offsets, const LevelScale& scale,
                     bool stochastic, float x, uint64_t key, uint64_t index,
                     float* loss) {
  const float y = x * scale.inverse + scale.shift;
  float level;
  if (stochastic) {
    level = std::floor(y);
    if (RandomUnit(key, index) < y - level) level += 1.0f;
  } else {
    level = std::nearbyint(y);
  }
  const float code =
      std::min(std::max(level + offsets.zero_code, 0.0f), offsets.top);
  if (loss != nullptr) *loss = x - (code - offsets.middle) * scale.step;
  return static_cast<uint32_t>(code);
}

namespace reference {
namespace {

template <typename Code>
bool Encode(const LevelGrid& grid, const float* values, size_t count,
            uint64_t key, uint64_t first_index, float* residual, uint8_t* norms,
            uint8_t* packed) {
  const LevelOffsets offsets(grid.top);
  bool finite = true;
  Code codes[kPackGroup];
  LevelScale scale = {};
  for (size_t i = 0; i < count; ++i) {
    if (i % grid.bucket == 0) {
      const size_t size = std::min(grid.bucket, count - i);
      float* const bucket_residual = residual ? residual + i : nullptr;
      BlockMoments moments;
      if (grid.norm == LevelNorm::kL2) {
        moments = AddMoments(values + i, size, bucket_residual);
      } else {
        moments.max_abs_bits = AddMaxAbs(values + i, size, bucket_residual);
      }
      finite = finite && moments.finite();
      scale = MakeLevelScale(grid, moments.max_abs(), moments.sum_squares);
      std::memcpy(norms + i / grid.bucket * sizeof(float), &scale.norm,
                  sizeof(float));
    }
    const float x = residual != nullptr ? residual[i] : values[i];
    codes[i % kPackGroup] = static_cast<Code>(
        EncodeLevel(offsets, scale, grid.stochastic, x, key, first_index + i,
                    residual != nullptr ? residual + i : nullptr));
    if ((i + 1) % kPackGroup == 0) {
      PackGroup(codes, grid.code_bits, packed);
      packed += PackedCodeBytes(kPackGroup, grid.code_bits);
    }
  }
  PackRest(codes, count % kPackGroup, grid.code_bits, packed);
  return finite;
}

// Calls visit(i, code) for every packed code.
template <typename Code, typename Visit>
void ForEachCode(const uint8_t* packed, size_t count, uint32_t bits,
                 Visit visit) {
  Code codes[kPackGroup];
  for (size_t start = 0; start < count; start += kPackGroup) {
    const size_t size = std::min(kPackGroup, count - start);
    if (size == kPackGroup) {
      UnpackGroup(packed, bits, codes);
    } else {
      UnpackRest(packed, size, bits, codes);
    }
    for (size_t i = 0; i < size; ++i) visit(start + i, codes[i]);
    packed += PackedCodeBytes(kPackGroup, bits);
  }
}

template <typename Code>
void DecodeAdd(const LevelGrid& grid, const uint8_t* norms,
               const uint8_t* packed, size_t count, float weight,
               float* target) {
  const float middle = LevelOffsets(grid.top).middle;
  ForEachCode<Code>(packed, count, grid.code_bits, [&](size_t i, Code code) {
    float norm;
    std::memcpy(&norm, norms + i / grid.bucket * sizeof(float), sizeof(float));
    const float step = LevelStep(grid, norm) * weight;
    target[i] += (static_cast<float>(code) - middle) * step;
  });
}

}  // namespace

bool EncodeLevels(const LevelGrid& grid, const float* values, size_t count,
                  uint64_t key, uint64_t first_index, float* residual,
                  uint8_t* norms, uint8_t* packed) {
  return grid.code_bits <= 8
             ? Encode<uint8_t>(grid, values, count, key, first_index, residual,
                               norms, packed)
             : Encode<uint16_t>(grid, values, count, key, first_index, residual,
                                norms, packed);
}

void DecodeAddLevels(const LevelGrid& grid, const uint8_t* norms,
                     const uint8_t* packed, size_t count, float weight,
                     float* target) {
  if (grid.code_bits <= 8) {
    DecodeAdd<uint8_t>(grid, norms, packed, count, weight, target);
  } else {
    DecodeAdd<uint16_t>(grid, norms, packed, count, weight, target);
  }
}

uint32_t MaxCode(const uint8_t* packed, size_t count, uint32_t code_bits) {
  uint32_t max = 0;
  const auto visit = [&max](size_t, uint32_t code) {
    max = std::max(max, code);
  };
  if (code_bits <= 8) {
    ForEachCode<uint8_t>(packed, count, code_bits, visit);
  } else {
    ForEachCode<uint16_t>(packed, count, code_bits, visit);
  }
  return max;
}

}  // namespace reference
}  // namespace terse
