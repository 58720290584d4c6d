#include <algorithm>
#include <bit>
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

// Within 0..top; a NaN, whose code means nothing, becomes 0.
float ClampCode(float code, float top) {
  return std::min(std::max(0.0f, code), top);
}

}  // namespace

float LevelStep(const LevelGrid& grid, float norm) {
  return norm / (static_cast<float>(grid.top) / 2);
}

LevelScale MakeLevelScale(const LevelGrid& grid, const BlockMoments& moments,
                          size_t count) {
  const float max_abs = moments.max_abs();
  const float middle = static_cast<float>(grid.top) / 2;
  const LevelRounding rounding = RoundingOf(grid);
  const bool fixed = rounding == LevelRounding::kFixedPoint;
  const float unit = fixed ? static_cast<float>(1 << FractionBits(grid)) : 1.0f;
  float norm = max_abs;
  if (grid.norm == LevelNorm::kL2) {
    // Rounding must not bring the norm below the largest magnitude.
    const double l2 = std::min(std::sqrt(moments.sum_squares), double{FLT_MAX});
    norm = std::max(max_abs, static_cast<float>(l2));
  } else if (grid.norm == LevelNorm::kMeanMagnitude) {
    norm = static_cast<float>(moments.sum / static_cast<double>(count));
  } else if (grid.norm == LevelNorm::kGiven) {
    norm = grid.given_norm;
  }
  // For a top of 1 the step is twice the norm and must stay finite.
  norm = std::min(norm, FLT_MAX / 2);
  LevelScale scale;
  scale.shift =
      fixed ? kRoundingBase + static_cast<float>(grid.top / 2) * unit : 0.0f;
  if (!(norm >= kNormMin)) return scale;
  if (grid.norm == LevelNorm::kPowerOfTwo) norm = PowerOfTwoNorm(middle, norm);
  scale.norm = norm;
  scale.step = LevelStep(grid, norm);
  scale.factor = middle / norm * unit;
  if (fixed) {
    scale.shift = kRoundingBase + middle * unit;
  } else if (grid.top % 2 != 0) {
    scale.shift = 0.5f;
  }
  scale.clamp = max_abs > norm && rounding != LevelRounding::kSign;
  return scale;
}

uint32_t EncodeLevel(const LevelGrid& grid, const LevelScale& scale, float x,
                     uint64_t key, uint64_t first_index, size_t i,
                     float* loss) {
  float y = x;
  if (scale.clamp) y = std::clamp(y, -scale.norm, scale.norm);
  y = y * scale.factor;
  y = y + scale.shift;
  const float top = static_cast<float>(grid.top);
  const float zero = static_cast<float>(grid.top / 2);
  uint32_t code;
  switch (RoundingOf(grid)) {
    case LevelRounding::kFixedPoint: {
      const int fraction = FractionBits(grid);
      const uint32_t position = std::bit_cast<uint32_t>(y) - kRoundingBits;
      const uint32_t half = RandomHalf(key, first_index, i);
      code = (position + (half >> (16 - fraction))) >> fraction;
      break;
    }
    case LevelRounding::kFloor: {
      float level = std::floor(y);
      if (RandomUnit(key, first_index + i) < y - level) level += 1.0f;
      code = static_cast<uint32_t>(ClampCode(level + zero, top));
      break;
    }
    case LevelRounding::kSign:
      code = std::signbit(x) ? 0 : 1;
      break;
    default:
      code = static_cast<uint32_t>(ClampCode(std::nearbyint(y) + zero, top));
  }
  if (loss != nullptr) {
    *loss = x - (static_cast<float>(code) - top / 2) * scale.step;
  }
  return code;
}

namespace reference {
namespace {

template <typename Code>
bool Encode(const LevelGrid& grid, const float* values, size_t count,
            uint64_t key, uint64_t first_index, float* residual, uint8_t* norms,
            uint8_t* packed) {
  bool finite = true;
  Code codes[kPackGroup];
  LevelScale scale;
  for (size_t i = 0; i < count; ++i) {
    if (i % grid.bucket == 0) {
      const size_t size = std::min(grid.bucket, count - i);
      float* const bucket_residual = residual ? residual + i : nullptr;
      BlockMoments moments;
      if (grid.norm == LevelNorm::kL2) {
        moments = AddMoments(values + i, size, bucket_residual);
      } else if (grid.norm == LevelNorm::kMeanMagnitude) {
        moments = AddAbsoluteSum(values + i, size, bucket_residual);
      } else if (grid.norm != LevelNorm::kGiven) {
        moments.max_abs_bits = AddMaxAbs(values + i, size, bucket_residual);
      }
      finite = finite && moments.finite();
      scale = MakeLevelScale(grid, moments, size);
      std::memcpy(norms + i / grid.bucket * sizeof(float), &scale.norm,
                  sizeof(float));
    }
    const float x = residual != nullptr ? residual[i] : values[i];
    codes[i % kPackGroup] = static_cast<Code>(
        EncodeLevel(grid, scale, x, key, first_index, i,
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
  const float middle = static_cast<float>(grid.top) / 2;
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
