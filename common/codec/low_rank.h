// PowerSGD (Vogels et al. 2019, 1905.13727): a matrix M of rows x columns is
// approximated by P Q^T of rank r, one power iteration a step. All workers hold
// the same Q; the mean of their M Q is made orthonormal (P, the basis); the
// mean of their M^T P is the new Q, from which the next step starts. Sums are
// taken in a fixed order: the same bits everywhere.
#ifndef TERSE_COMMON_CODEC_LOW_RANK_H_
#define TERSE_COMMON_CODEC_LOW_RANK_H_

#include <cstddef>
#include <cstdint>
#include <span>

namespace terse {

// Factors are arrays of `rank` runs: run k of a left factor has `rows` floats,
// one of a right factor `columns`.
struct LowRank {
  size_t rows = 0;
  size_t columns = 0;
  size_t rank = 0;  // 0: none.

  bool any() const { return rank > 0; }
  size_t left_elements() const { return rows * rank; }
  size_t right_elements() const { return columns * rank; }
};

// left = M right. With a `gradient`, M becomes decay * M + gradient first.
void MultiplyRight(const LowRank& shape, std::span<const float> gradient,
                   float decay, std::span<float> matrix,
                   std::span<const float> right, std::span<float> left);

// right = M^T left.
void MultiplyLeft(const LowRank& shape, std::span<const float> matrix,
                  std::span<const float> left, std::span<float> right);

// matrix = left right^T.
void MultiplyFactors(const LowRank& shape, std::span<const float> left,
                     std::span<const float> right, std::span<float> matrix);

// matrix -= left right^T, the same products.
void SubtractFactors(const LowRank& shape, std::span<const float> left,
                     std::span<const float> right, std::span<float> matrix);

// Makes the runs of a left factor orthonormal, in their order (Gram and
// Schmidt, twice). A run that depends on those before it becomes zeros.
void Orthonormalize(const LowRank& shape, std::span<float> left);

// Draws the runs of a right factor that are zeros anew (which would stay so):
// standard Gaussians of (key, element). All of them before the first step.
void WarmStart(const LowRank& shape, uint64_t key, std::span<float> right);

}  // namespace terse

#endif  // TERSE_COMMON_CODEC_LOW_RANK_H_
