// Exact selection of the k largest magnitudes.
#ifndef TERSE_COMMON_CODEC_TOP_K_H_
#define TERSE_COMMON_CODEC_TOP_K_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace terse {

// clamp(ceil(ratio * count), 1, count); 0 for an empty block. `ratio` counts as
// the decimal number it was rounded from: 0.1f of 1000 are 100.
size_t KeptCount(double ratio, size_t count);

// Scratch memory, kept by the caller from block to block.
struct TopKScratch {
  std::vector<uint32_t> indices;
  std::vector<uint32_t> magnitudes;
};

// The indices of the k elements of largest magnitude, ascending; of equal
// magnitudes the lower index wins. With `residual` (not null) residual[i] first
// becomes residual[i] + values[i], and the elements are these sums. Returns
// false if an element is a NaN or an infinity (then the indices mean nothing).
// The indices lie in `scratch`.
// Requires: 1 <= k <= values.size() < 2^31.
bool SelectTopK(std::span<const float> values, float* residual, size_t k,
                TopKScratch& scratch, std::span<const uint32_t>* indices);

}  // namespace terse

#endif  // TERSE_COMMON_CODEC_TOP_K_H_
