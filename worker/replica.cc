#include "worker/replica.h"

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/codec/gradient_sum.h"
#include "common/optimizer/optimizer.h"

namespace terse {

Replica::Replica(const Job& job, const Plan& plan)
    : job_(job), plan_(plan), state_(plan.tensors.size()) {
  const size_t arrays = OptimizerStateNames(job.optimizer()).size();
  for (size_t t = 0; t < plan.tensors.size(); ++t) {
    if (!plan.tensors[t].sum_down) continue;
    state_[t].assign(
        arrays, std::vector<float>(ElementCount(plan.model.tensors[t].shape)));
  }
}

absl::Status Replica::Decode(uint32_t block, float agreed_scale,
                             std::span<const float> basis,
                             std::span<const std::byte> payload) {
  const BlockSpec& spec = plan_.blocks[block];
  SumContext context = SumContextOf(plan_, block);
  if (basis.size() != context.low_rank.left_elements()) {
    return absl::InvalidArgumentError(
        absl::StrCat("a sum of ", plan_.model.tensors[spec.tensor].name,
                     " before its basis"));
  }
  context.basis = basis;
  TERSE_RETURN_IF_ERROR(Annotate(ValidateSum(context, agreed_scale, payload),
                                 plan_.model.tensors[spec.tensor].name));
  mean_.resize(spec.count);
  DecodeSum(context, payload, mean_);
  factor_ = SumFactor(payload);
  return absl::OkStatus();
}

std::vector<std::span<float>> Replica::State(uint32_t block) {
  const BlockSpec& spec = plan_.blocks[block];
  std::vector<std::span<float>> state;
  for (std::vector<float>& array : state_[spec.tensor]) {
    state.push_back(std::span(array).subspan(spec.first_index, spec.count));
  }
  return state;
}

void Replica::Update(uint32_t block, uint64_t step, float learning_rate,
                     std::span<float> tensor_values) {
  const BlockSpec& spec = plan_.blocks[block];
  TERSE_CHECK(mean_.size() == spec.count);
  ApplyUpdate(job_.optimizer(),
              UpdateArgsOf(job_, plan_.tensors[spec.tensor], step,
                           learning_rate, factor_),
              mean_, tensor_values.subspan(spec.first_index, spec.count),
              State(block));
}

}  // namespace terse
