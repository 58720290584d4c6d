// RandomBits for runs of elements: the kernels draw for indices that share
// their upper 32 bits, where the key is one and the same.
#ifndef TERSE_COMMON_KERNELS_RANDOM_SEGMENT_H_
#define TERSE_COMMON_KERNELS_RANDOM_SEGMENT_H_

#include <cstddef>
#include <cstdint>

#include "common/base/random.h"

namespace terse {

// Whether the indices first_index .. first_index + count - 1 share their upper
// half. A run that does not is rare (one block in 2^14 of a tensor above 2^32
// elements) and takes the reference path.
constexpr bool InOneSegment(uint64_t first_index, size_t count) {
  return count == 0 || (first_index >> 32) == ((first_index + count - 1) >> 32);
}

// The key RandomBits derives for this segment.
constexpr uint64_t SegmentKey(uint64_t key, uint64_t first_index) {
  return (first_index >> 32) != 0 ? MixKey({key, first_index >> 32}) : key;
}

}  // namespace terse

#endif  // TERSE_COMMON_KERNELS_RANDOM_SEGMENT_H_
