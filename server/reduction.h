// Statistics that span blocks: collected per block, merged in block order, so
// that the result does not depend on where blocks lie or when they came.
#ifndef TERSE_SERVER_REDUCTION_H_
#define TERSE_SERVER_REDUCTION_H_

#include <cstdint>
#include <map>

#include "absl/status/status.h"
#include "common/plan/plan.h"
#include "proto/wire.pb.h"

namespace terse {

using StatisticsKind = wire::BlockStatistics::Kind;

// The blocks a reduction covers: all parameter blocks for the gradient norm,
// the tensor's for the others.
struct ReductionScope {
  uint32_t first_block = 0;
  uint32_t block_count = 0;
};
ReductionScope ScopeOf(const Plan& plan, StatisticsKind kind, uint32_t tensor);

// One reduction in progress.
class Reduction {
 public:
  explicit Reduction(ReductionScope scope) : scope_(scope) {}

  // Errors: InvalidArgument (a block outside the scope, or given twice).
  absl::Status Add(uint32_t block, const TensorStats& stats);

  bool Has(uint32_t block) const { return blocks_.contains(block); }
  size_t collected() const { return blocks_.size(); }
  bool complete() const { return blocks_.size() == scope_.block_count; }
  TensorStats Merged() const;
  const std::map<uint32_t, TensorStats>& blocks() const { return blocks_; }

 private:
  ReductionScope scope_;
  std::map<uint32_t, TensorStats> blocks_;
};

wire::BlockStatistics::Record ToRecord(uint32_t block,
                                       const TensorStats& stats);
TensorStats FromRecord(const wire::BlockStatistics::Record& record);

}  // namespace terse

#endif  // TERSE_SERVER_REDUCTION_H_
