// What a shard has of the gradients that a version of its weights comes from.
#ifndef TERSE_SERVER_SHARD_ROUND_H_
#define TERSE_SERVER_SHARD_ROUND_H_

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "absl/time/time.h"
#include "common/base/buffer.h"
#include "common/frame/frame.h"

namespace terse {

// Where a block stands in its round.
enum class BlockPhase {
  kCollecting,
  kCollectingFactors,  // Right ones, the basis having gone out.
  kGradientStats,
  kNorm,
  kWeightStats,
  kMirroring,  // Not published before its mirror has it.
  kDone
};

struct BlockRound {
  BlockPhase phase = BlockPhase::kCollecting;
  absl::Time opened;
  uint32_t received = 0;
  std::vector<std::optional<Buffer>> payloads;  // By worker.
  std::vector<float> gradient;  // Kept while statistics are on their way.
  std::optional<Frame> basis;   // That went out in this round.
  Buffer sum;  // What comes down in place of the weights, if it does.
  // By worker: for the basis that goes out in this round, and that a process
  // which was lost has sent before.
  std::map<uint32_t, Buffer> early_factors;
};

// The gradients of one step, from which `version` of the weights comes: of
// all workers in BSP, of one in SSP and async. Version 0, the initial
// weights, is a round without gradients.
struct ShardRound {
  uint64_t version = 0;
  std::vector<BlockRound> blocks;  // As the store's.
  std::vector<double> samples;     // By worker; 0: no report yet.
  size_t blocks_done = 0;
};

}  // namespace terse

#endif  // TERSE_SERVER_SHARD_ROUND_H_
