#include "worker/awaited_blocks.h"

#include <vector>

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
std::vector<bool> KeptBlocks(const Plan& plan, uint64_t first_version) {
  std::vector<bool> wanted(plan.blocks.size());
  for (uint32_t b = 0; b < wanted.size() && first_version > 0; ++b) {
    wanted[b] = !KeptKinds(plan, b).empty();
  }
  return wanted;
}

std::vector<bool> StateBlocks(const Job& job, const Plan& plan,
                              uint64_t first_version) {
  std::vector<bool> wanted(plan.blocks.size());
  if (OptimizerStateNames(job.optimizer()).empty()) return wanted;
  for (uint32_t b = 0; b < wanted.size() && first_version > 0; ++b) {
    wanted[b] = plan.tensors[plan.blocks[b].tensor].sum_down;
  }
  return wanted;
}

}  // namespace

AwaitedBlocks::AwaitedBlocks(const Job& job, const Plan& plan,
                             uint64_t first_version)
    : weights(BlocksOfKind(plan, BlockKind::kWeights)),
      buffers(BlocksOfKind(plan, BlockKind::kBuffers)),
      shadows(BlocksOfKind(plan, BlockKind::kShadows)),
      kept(KeptBlocks(plan, first_version)),
      state(StateBlocks(job, plan, first_version)) {
  for (BlockSet* set : {&weights, &kept, &state}) set->Await(first_version);
}

}  // namespace terse
