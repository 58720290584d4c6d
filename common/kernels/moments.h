// Statistics of a block, fused with the addition of the error-feedback
// residual. Sums are taken in a fixed order, whatever the vector width: 32
// float lanes over runs of 2048 elements, folded into double lanes, and these
// folded in halves at the end.
#ifndef TERSE_COMMON_KERNELS_MOMENTS_H_
#define TERSE_COMMON_KERNELS_MOMENTS_H_

#include <bit>
#include <cstddef>
#include <cstdint>

namespace terse {

// Bits of +infinity: a finite float's absolute bits are below.
inline constexpr uint32_t kInfinityBits = 0x7f800000u;

struct BlockMoments {
  // Largest bits of |x| as an integer; a NaN or an infinity wins.
  uint32_t max_abs_bits = 0;
  double sum = 0;          // Of x, or of |x| from AddAbsoluteSum.
  double sum_squares = 0;  // Only from AddMoments.

  bool finite() const { return max_abs_bits < kInfinityBits; }
  float max_abs() const { return std::bit_cast<float>(max_abs_bits); }
};

// In all of these: with `residual` (as long as `values`), residual[i] becomes
// residual[i] + values[i] and the statistics are those of the sum; without
// (null) they are those of the values.
uint32_t AddMaxAbs(const float* values, size_t count, float* residual);
// Beyond 2^110 AddAbsoluteSum adds in double, one after the other.
BlockMoments AddAbsoluteSum(const float* values, size_t count, float* residual);

// Beyond 2^60 and below 2^-40 (the largest magnitude) squares would leave the
// range of a float; there the sums are taken in double, one after the other.
BlockMoments AddMoments(const float* values, size_t count, float* residual);

namespace reference {

uint32_t AddMaxAbs(const float* values, size_t count, float* residual);
BlockMoments AddAbsoluteSum(const float* values, size_t count, float* residual);
BlockMoments AddMoments(const float* values, size_t count, float* residual);

}  // namespace reference

// What the kernels and the reference share.
inline constexpr size_t kMomentLanes = 32;
inline constexpr size_t kMomentRun = kMomentLanes * 64;

// Folds the lanes by halves: lane l takes lane l + half.
double FoldLanes(double (&lanes)[kMomentLanes]);

// Whether float squares are safe for a block of this largest magnitude.
constexpr bool SquaresFit(uint32_t max_abs_bits) {
  return max_abs_bits == 0 || (max_abs_bits >= (uint32_t{127 - 40} << 23) &&
                               max_abs_bits < (uint32_t{127 + 60} << 23));
}

// The sums of a block for which they are not.
void SumInDouble(const float* values, size_t count, BlockMoments& moments);

// Whether 64 magnitudes add up within a float, and the sum where they do not.
constexpr bool MagnitudesFit(uint32_t max_abs_bits) {
  return max_abs_bits < (uint32_t{127 + 110} << 23);
}
double AbsoluteSumInDouble(const float* values, size_t count);

}  // namespace terse

#endif  // TERSE_COMMON_KERNELS_MOMENTS_H_
