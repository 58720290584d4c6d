// Finds the elements at or above a magnitude, in the order of their indices.
#ifndef TERSE_COMMON_KERNELS_SELECT_H_
#define TERSE_COMMON_KERNELS_SELECT_H_

#include <cstddef>
#include <cstdint>

namespace terse {

// Elements `indices` must have room for beyond `count` (whole vectors are
// stored).
inline constexpr size_t kSelectSlack = 64;

// Writes the indices of the elements whose absolute bits (bit pattern without
// the sign, which orders as magnitudes do; NaN above infinity) are at least
// `min_abs_bits`; returns how many. With `residual` (not null) residual[i]
// first becomes residual[i] + values[i], and the elements are these sums.
// Requires: count < 2^31.
size_t SelectAtLeast(const float* values, size_t count, float* residual,
                     uint32_t min_abs_bits, uint32_t* indices);

namespace reference {

size_t SelectAtLeast(const float* values, size_t count, float* residual,
                     uint32_t min_abs_bits, uint32_t* indices);

}  // namespace reference
}  // namespace terse

#endif  // TERSE_COMMON_KERNELS_SELECT_H_
