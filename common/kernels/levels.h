// Linear levels: x becomes the code of a level on a symmetric grid whose reach
// is the norm of the element's bucket. QSGD (arXiv 1610.02132), the gradient
// quantizer of DoReFa (1606.06160), uniform k bits and block floating point are
// all of this kind.
//
// Codes 0..top stand for the levels (code - top/2) * step, where step = norm /
// (top/2): an even top has a level at zero, an odd one does not. Codes have
// `code_bits` bits each, packed as in pack.h.
#ifndef TERSE_COMMON_KERNELS_LEVELS_H_
#define TERSE_COMMON_KERNELS_LEVELS_H_

#include <cstddef>
#include <cstdint>

#include "common/kernels/moments.h"

namespace terse {

enum class LevelNorm : uint8_t {
  kMax,
  kL2,
  // The smallest step 2^e that reaches the bucket's maximum.
  kPowerOfTwo,
  // The mean magnitude; goes with a top of 1 and kSign.
  kMeanMagnitude,
  // LevelGrid::given_norm. Nothing is measured, no value is added to the
  // residual, which holds what is encoded, and no magnitude may be beyond the
  // norm if the grid is stochastic.
  kGiven,
};

struct LevelGrid {
  uint32_t top = 2;
  uint32_t code_bits = 2;
  LevelNorm norm = LevelNorm::kMax;
  bool stochastic = true;
  size_t bucket = 512;  // Consecutive elements that share a norm.
  float given_norm = 0;

  size_t Buckets(size_t count) const {
    return count / bucket + (count % bucket != 0 ? 1 : 0);
  }
};

// Writes a norm per bucket (float32) to `norms` and the codes to `packed`; how
// elements become codes: EncodeLevel below. Norms below 2^-100 count as 0:
// there all codes stand for the level(s) at zero and the loss is x. With
// `residual`, what is encoded is residual + value and the residual becomes the
// loss. Returns whether all inputs were finite; the outputs mean nothing
// otherwise.
bool EncodeLevels(const LevelGrid& grid, const float* values, size_t count,
                  uint64_t key, uint64_t first_index, float* residual,
                  uint8_t* norms, uint8_t* packed);

// target[i] += level_i * (step * weight).
void DecodeAddLevels(const LevelGrid& grid, const uint8_t* norms,
                     const uint8_t* packed, size_t count, float weight,
                     float* target);

// Largest of `count` packed codes; 0 if there are none.
uint32_t MaxCode(const uint8_t* packed, size_t count, uint32_t code_bits);

namespace reference {

bool EncodeLevels(const LevelGrid& grid, const float* values, size_t count,
                  uint64_t key, uint64_t first_index, float* residual,
                  uint8_t* norms, uint8_t* packed);
void DecodeAddLevels(const LevelGrid& grid, const uint8_t* norms,
                     const uint8_t* packed, size_t count, float weight,
                     float* target);
uint32_t MaxCode(const uint8_t* packed, size_t count, uint32_t code_bits);

}  // namespace reference

// How elements of a grid are rounded.
enum class LevelRounding : uint8_t {
  // Stochastic codes of up to 8 bits: the position on the grid in steps of
  // 2^-S, S = 22 - code_bits but at most 16, plus S random bits, the sum's
  // whole
  // part being the code. The factors are such that norm and -norm meet the
  // grid's ends exactly.
  kFixedPoint,
  // Stochastic codes of more bits: floor, plus one iff RandomUnit is below the
  // fraction, which is exact.
  kFloor,
  // Half to even.
  kNearest,
  // 0 with the sign bit, 1 without: -norm and norm.
  kSign,
};

constexpr LevelRounding RoundingOf(const LevelGrid& grid) {
  if (grid.top == 1 && !grid.stochastic) return LevelRounding::kSign;
  if (!grid.stochastic) return LevelRounding::kNearest;
  return grid.code_bits <= 8 ? LevelRounding::kFixedPoint
                             : LevelRounding::kFloor;
}

// Bits below the point of kFixedPoint.
constexpr int FractionBits(const LevelGrid& grid) {
  return grid.code_bits <= 6 ? 16 : 22 - static_cast<int>(grid.code_bits);
}

// A float of this magnitude has a last place of 1: adding it rounds to a whole
// number, half to even, which is then in the lowest bits.
inline constexpr float kRoundingBase = 0x1p23f;
inline constexpr uint32_t kRoundingBits = 0x4b000000u;

// What one bucket's elements are multiplied with and moved by.
struct LevelScale {
  float norm = 0;    // As sent.
  float step = 0;    // norm / (top/2)
  float factor = 0;  // (top/2) / norm, times 2^S for kFixedPoint; or 0
  float shift = 0;   // Of the product; see EncodeLevel.
  // A magnitude is beyond the norm: elements must be clamped to it first. Only
  // with the hugest values, never in the kernels' vectors.
  bool clamp = false;
};

// From a bucket's statistics: `moments` holds the sum of squares for kL2 and
// that of magnitudes for kMeanMagnitude.
LevelScale MakeLevelScale(const LevelGrid& grid, const BlockMoments& moments,
                          size_t count);
float LevelStep(const LevelGrid& grid, float norm);

// Encodes element i of a block that starts at `first_index`: its code, and its
// loss unless `loss` is null. In floats, with `zero` the code below or at the
// level zero (top / 2 rounded down): kFixedPoint: ((x factor + shift) - 2^23,
// whole, + upper S bits of RandomHalf)
//              >> S
// kFloor:      clamp(floor(x factor + shift) + (u < fraction) + zero, 0, top)
// kNearest:    clamp(round(x factor) + zero, 0, top)
// kSign:       0 if x has the sign bit, else 1
uint32_t EncodeLevel(const LevelGrid& grid, const LevelScale& scale, float x,
                     uint64_t key, uint64_t first_index, size_t i, float* loss);

}  // namespace terse

#endif  // TERSE_COMMON_KERNELS_LEVELS_H_
