#include "common/plan/blocks.h"

#include <algorithm>
#include <functional>
#include <queue>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/limits.h"
#include "common/base/status.h"

namespace terse {
namespace {

uint64_t CeilDivide(uint64_t a, uint64_t b) { return a / b + (a % b != 0); }

uint64_t ParameterBlockCount(const Plan& plan) {
  uint64_t count = 0;
  for (uint32_t t = 0; t < plan.tensors.size(); ++t) {
    if (!plan.IsBuffer(t)) count += plan.tensors[t].block_count;
  }
  return count;
}

}  // namespace

uint64_t BlockElements(uint64_t count, uint64_t row_elements) {
  const uint64_t unit = row_elements <= kBlockElementsMax ? row_elements : 1;
  const uint64_t units = count / unit;
  const uint64_t blocks = CeilDivide(units, kBlockElementsMax / unit);
  return CeilDivide(units, blocks) * unit;
}

absl::Status CutBlocks(Plan& plan) {
  for (const bool buffers : {false, true}) {
    for (uint32_t t = 0; t < plan.tensors.size(); ++t) {
      if (plan.IsBuffer(t) != buffers) continue;
      TensorPlan& tensor = plan.tensors[t];
      const uint64_t count = ElementCount(plan.model.tensors[t].shape);
      const uint64_t run = tensor.low_rank.any()
                               ? count
                               : BlockElements(count, tensor.row_elements);
      const uint64_t block_count = CeilDivide(count, run);
      if (block_count > kBlocksMax - plan.blocks.size()) {
        return WithExitCode(
            absl::InvalidArgumentError(
                absl::StrCat("model: ", plan.model.tensors[t].name,
                             " is too large; a model has at most ", kBlocksMax,
                             " blocks of ", kBlockElementsMax, " elements")),
            ExitCode::kBadJob);
      }
      tensor.first_block = static_cast<uint32_t>(plan.blocks.size());
      tensor.block_count = static_cast<uint32_t>(block_count);
      for (uint64_t first = 0; first < count; first += run) {
        plan.blocks.push_back(
            {.tensor = t,
             .first_index = first,
             .count = static_cast<uint32_t>(std::min(run, count - first))});
      }
    }
  }
  return absl::OkStatus();
}

absl::Status DealBlocks(uint32_t servers, Plan& plan) {
  const uint64_t parameter_blocks = ParameterBlockCount(plan);
  if (servers == 0 || servers > parameter_blocks) {
    return WithExitCode(
        absl::InvalidArgumentError(absl::StrCat(
            "cluster.servers: ", servers, " servers, but the model has ",
            parameter_blocks, parameter_blocks == 1 ? " block" : " blocks",
            " of parameters to share out; give from 1 to ", parameter_blocks)),
        ExitCode::kBadJob);
  }
  // Least elements first, then the lowest shard.
  using Load = std::pair<uint64_t, uint32_t>;
  std::priority_queue<Load, std::vector<Load>, std::greater<>> loads;
  for (uint32_t shard = 0; shard < servers; ++shard) loads.push({0, shard});
  std::vector<uint32_t> order(plan.blocks.size());
  for (uint32_t b = 0; b < order.size(); ++b) order[b] = b;
  const auto larger = [&](uint32_t a, uint32_t b) {
    return plan.blocks[a].count > plan.blocks[b].count;
  };
  const auto buffers_begin =
      order.begin() + static_cast<ptrdiff_t>(parameter_blocks);
  std::stable_sort(order.begin(), buffers_begin, larger);
  std::stable_sort(buffers_begin, order.end(), larger);
  for (const uint32_t b : order) {
    auto [elements, shard] = loads.top();
    loads.pop();
    plan.blocks[b].shard = shard;
    loads.push({elements + plan.blocks[b].count, shard});
  }
  return absl::OkStatus();
}

}  // namespace terse
