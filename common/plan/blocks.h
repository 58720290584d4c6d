// Cuts tensors into blocks and deals the blocks to shards.
#ifndef TERSE_COMMON_PLAN_BLOCKS_H_
#define TERSE_COMMON_PLAN_BLOCKS_H_

#include <cstdint>

#include "absl/status/status.h"
#include "common/plan/plan.h"

namespace terse {

// Elements of every block of a tensor but its last: equal runs of at most
// kBlockElementsMax, of whole rows if a row fits.
// Requires: count is a positive multiple of row_elements > 0.
uint64_t BlockElements(uint64_t count, uint64_t row_elements);

// Fills plan.blocks and each tensor's first_block and block_count; parameters
// first, then buffers.
// Requires: plan.model and row_elements of plan.tensors are set.
// Errors: InvalidArgument (more than kBlocksMax blocks; exit code 78).
absl::Status CutBlocks(Plan& plan);

// Sets the shard of every block: the largest block first, to the shard that
// holds the fewest elements, then the lowest. Buffers are dealt after the
// parameters.
// Errors: InvalidArgument (more servers than blocks of parameters; exit code
// 78).
absl::Status DealBlocks(uint32_t servers, Plan& plan);

}  // namespace terse

#endif  // TERSE_COMMON_PLAN_BLOCKS_H_
