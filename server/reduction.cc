#include "server/reduction.h"

#include "absl/strings/str_cat.h"

namespace terse {

ReductionScope ScopeOf(const Plan& plan, StatisticsKind kind, uint32_t tensor) {
  if (kind != wire::BlockStatistics::GRADIENT_NORM) {
    return {plan.tensors[tensor].first_block, plan.tensors[tensor].block_count};
  }
  uint32_t parameters = 0;
  while (parameters < plan.blocks.size() &&
         !plan.IsBuffer(plan.blocks[parameters].tensor)) {
    ++parameters;
  }
  return {0, parameters};
}

absl::Status Reduction::Add(uint32_t block, const TensorStats& stats) {
  if (block < scope_.first_block ||
      block - scope_.first_block >= scope_.block_count) {
    return absl::InvalidArgumentError(
        absl::StrCat("statistics of block ", block, " which is not asked for"));
  }
  if (!blocks_.emplace(block, stats).second) {
    return absl::InvalidArgumentError(
        absl::StrCat("statistics of block ", block, " came twice"));
  }
  return absl::OkStatus();
}

TensorStats Reduction::Merged() const {
  TensorStats merged;
  for (const auto& [block, stats] : blocks_) merged.Merge(stats);
  return merged;
}

wire::BlockStatistics::Record ToRecord(uint32_t block,
                                       const TensorStats& stats) {
  wire::BlockStatistics::Record record;
  record.set_block(block);
  record.set_max_abs(stats.max_abs);
  record.set_sum(stats.sum);
  record.set_second_sum(stats.second_sum);
  record.set_count(stats.count);
  return record;
}

TensorStats FromRecord(const wire::BlockStatistics::Record& record) {
  return {.max_abs = record.max_abs(),
          .sum = record.sum(),
          .second_sum = record.second_sum(),
          .count = record.count()};
}

}  // namespace terse
