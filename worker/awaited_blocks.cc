#include "worker/awaited_blocks.h"

#include <vector>

#include "common/checkpoint/members.h"
#include "common/checkpoint/saved_state.h"

namespace terse {
namespace {

enum class BlockKind { kWeights, kBuffers, kShadows };

std::vector<bool> BlocksOfKind(const Plan& plan, BlockKind kind) {
  std::vector<bool> wanted;
  for (const BlockSpec& block : plan.blocks) {
    const bool buffer = plan.IsBuffer(block.tensor);
    const WeightQuantizer* quantizer =
        plan.tensors[block.tensor].quantizer.get();
    wanted.push_back(kind == BlockKind::kBuffers ? buffer
                     : kind == BlockKind::kWeights
                         ? !buffer
                         : quantizer != nullptr &&
                               quantizer->EvaluatesWithShadow());
  }
  return wanted;
}

// Nothing is kept before the first step.
std::vector<bool> KeptBlocks(const Job& job, const Plan& plan,
                             uint64_t first_version, bool under_way) {
  std::vector<bool> wanted(plan.blocks.size());
  if (first_version == 0) return wanted;
  if (under_way) {
    return SharesStatistics(job, plan) ? BlocksOfKind(plan, BlockKind::kBuffers)
                                       : wanted;
  }
  for (uint32_t b = 0; b < wanted.size(); ++b) {
    wanted[b] = !KeptKinds(plan, b).empty();
  }
  return wanted;
}

std::vector<bool> StateBlocks(const Job& job, const Plan& plan,
                              uint64_t first_version, bool under_way) {
  std::vector<bool> wanted(plan.blocks.size());
  if (first_version == 0 || under_way ||
      OptimizerStateNames(job.optimizer()).empty()) {
    return wanted;
  }
  for (uint32_t b = 0; b < wanted.size(); ++b) {
    wanted[b] = plan.tensors[plan.blocks[b].tensor].sum_down;
  }
  return wanted;
}

}  // namespace

AwaitedBlocks::AwaitedBlocks(const Job& job, const Plan& plan,
                             uint64_t first_version, bool under_way)
    : weights(BlocksOfKind(plan, BlockKind::kWeights)),
      buffers(BlocksOfKind(plan, BlockKind::kBuffers)),
      shadows(BlocksOfKind(plan, BlockKind::kShadows)),
      kept(KeptBlocks(job, plan, first_version, under_way)),
      state(StateBlocks(job, plan, first_version, under_way)) {
  for (BlockSet* set : {&weights, &kept, &state}) set->Await(first_version);
}

}  // namespace terse
