// Products of PowerSGD's matrices and factors (common/codec/low_rank.h), each
// in one pass over the matrix. Sums are taken in a fixed order, whatever the
// vector width.
#ifndef TERSE_COMMON_KERNELS_LOW_RANK_KERNELS_H_
#define TERSE_COMMON_KERNELS_LOW_RANK_KERNELS_H_

#include <cstddef>

namespace terse {

// `rank` runs of `rows` floats (left) and of `columns` floats (right); matrices
// are rows x columns, row by row.
struct LowRankSize {
  size_t rows = 0;
  size_t columns = 0;
  size_t rank = 0;
};

// left = matrix right. With `gradient` (as long as the matrix), the matrix
// first becomes decay * matrix + gradient. A row's products are added in 16
// lanes, which are folded in halves.
void LowRankMultiplyRight(const LowRankSize& size, const float* gradient,
                          float decay, float* matrix, const float* right,
                          float* left);

// right = matrix^T left, rows in their order.
void LowRankMultiplyLeft(const LowRankSize& size, const float* matrix,
                         const float* left, float* right);

// matrix = left right^T.
void LowRankMultiplyFactors(const LowRankSize& size, const float* left,
                            const float* right, float* matrix);

// matrix -= left right^T.
void LowRankSubtractFactors(const LowRankSize& size, const float* left,
                            const float* right, float* matrix);

namespace reference {

void LowRankMultiplyRight(const LowRankSize& size, const float* gradient,
                          float decay, float* matrix, const float* right,
                          float* left);
void LowRankMultiplyLeft(const LowRankSize& size, const float* matrix,
                         const float* left, float* right);
void LowRankMultiplyFactors(const LowRankSize& size, const float* left,
                            const float* right, float* matrix);
void LowRankSubtractFactors(const LowRankSize& size, const float* left,
                            const float* right, float* matrix);

}  // namespace reference

inline constexpr size_t kLowRankLanes = 16;

// The sum of the lanes.
float FoldLowRankLanes(float (&lanes)[kLowRankLanes]);

}  // namespace terse

#endif  // TERSE_COMMON_KERNELS_LOW_RANK_KERNELS_H_
