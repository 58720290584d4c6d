// Overlaps arithmetic with fetching what comes next.
#ifndef TERSE_COMMON_KERNELS_PREFETCH_H_
#define TERSE_COMMON_KERNELS_PREFETCH_H_

#include <cstddef>

#include "common/base/limits.h"

namespace terse {

// Both ask the second-level cache, and beyond the end of an array do nothing.
// Always inlined: compilers drop calls of functions without an effect.

// For loops over memory: more lines are under way than the first-level cache
// can wait for, and across the ends of pages, where hardware stops.
template <typename T>
[[gnu::always_inline]] inline void PrefetchAhead(const T* element) {
  constexpr size_t kAheadBytes = 4096;
  __builtin_prefetch(reinterpret_cast<const char*>(element) + kAheadBytes, 0,
                     2);
}

// For the second pass over a block, which is bound by arithmetic: the blocks of
// a tensor lie behind each other and are encoded in order.
[[gnu::always_inline]] inline void PrefetchNextBlock(const float* element) {
  __builtin_prefetch(element + kBlockElementsMax, 0, 2);
}

}  // namespace terse

#endif  // TERSE_COMMON_KERNELS_PREFETCH_H_
