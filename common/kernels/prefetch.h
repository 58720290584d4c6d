// Overlaps the arithmetic of one block with fetching the next.
#ifndef TERSE_COMMON_KERNELS_PREFETCH_H_
#define TERSE_COMMON_KERNELS_PREFETCH_H_

#include "common/base/limits.h"

namespace terse {

// For the second pass over a block, which is bound by arithmetic: asks the
// second-level cache for the element one block further on, since the blocks of
// a tensor lie behind each other and are encoded in order. Beyond the tensor
// the hint does nothing.
// Always inlined: compilers drop calls of functions without an effect.
[[gnu::always_inline]] inline void PrefetchNextBlock(const float* element) {
  __builtin_prefetch(element + kBlockElementsMax, 0, 1);
}

}  // namespace terse

#endif  // TERSE_COMMON_KERNELS_PREFETCH_H_
