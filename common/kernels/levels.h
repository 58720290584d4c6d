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

namespace terse {

enum class LevelNorm : uint8_t {
  kMax,
  kL2,
  // The smallest step 2^e that reaches the bucket's maximum.
  kPowerOfTwo,
};

struct LevelGrid {
  uint32_t top = 2;
  uint32_t code_bits = 2;
  LevelNorm norm = LevelNorm::kMax;
  bool stochastic = true;
  size_t bucket = 512;  // Consecutive elements that share a norm.

  size_t Buckets(size_t count) const {
    return count / bucket + (count % bucket != 0 ? 1 : 0);
  }
};

// Writes a norm per bucket (float32) to `norms` and the codes to `packed`.
// Stochastic: with y = x * (top/2 / norm), moved by half a level for an odd
// top, the level is floor(y), plus one iff RandomUnit(key, first_index + i) <
// y - floor(y). Else: y rounded half to even. Norms below 2^-100 count as 0:
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

// What one bucket's elements are multiplied with.
struct LevelScale {
  float norm;     // As sent.
  float inverse;  // (top/2) / norm, or 0.
  float shift;    // Half a level for an odd top, but 0 for a norm of 0.
  float step;     // norm / (top/2)
};

// Largest magnitude (bits) and sum of squares of a bucket to its scale.
LevelScale MakeLevelScale(const LevelGrid& grid, float max_abs,
                          double sum_squares);
float LevelStep(const LevelGrid& grid, float norm);

// Constants of the rounding: y = x * inverse + shift, code = level + zero_code,
// value = (code - middle) * step.
struct LevelOffsets {
  explicit LevelOffsets(uint32_t top)
      : zero_code(static_cast<float>(top / 2)),
        middle(static_cast<float>(top) / 2),
        top(static_cast<float>(top)) {}
  float zero_code;
  float middle;
  float top;
};

// Encodes one element: its code, and its loss unless `loss` is null.
uint32_t EncodeLevel(const LevelOffsets& offsets, const LevelScale& scale,
                     bool stochastic, float x, uint64_t key, uint64_t index,
                     float* loss);

}  // namespace terse

#endif  // TERSE_COMMON_KERNELS_LEVELS_H_
