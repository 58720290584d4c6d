#include "worker/low_rank_tensor.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"

namespace terse {

LowRankTensor::LowRankTensor(const LowRank& shape, std::span<float> residual,
                             float residual_decay)
    : shape_(shape),
      own_matrix_(residual.empty() ? shape.rows * shape.columns : 0),
      residual_(residual),
      residual_decay_(residual_decay),
      right_(shape.right_elements()),
      left_(shape.left_elements()),
      own_right_(shape.right_elements()) {}

void LowRankTensor::SetRight(std::span<const float> right) {
  TERSE_CHECK(right.size() == right_.size());
  std::copy(right.begin(), right.end(), right_.begin());
}

std::span<const float> LowRankTensor::Start(uint64_t step,
                                            std::span<const float> gradient) {
  if (residual_.empty()) {
    std::copy(gradient.begin(), gradient.end(), own_matrix_.begin());
    MultiplyRight(shape_, {}, 0, own_matrix_, right_, left_);
  } else {
    MultiplyRight(shape_, gradient, residual_decay_, residual_, right_, left_);
  }
  waiting_ = step;
  return left_;
}

absl::StatusOr<std::span<const float>> LowRankTensor::Finish(
    uint64_t step, std::span<const std::byte> basis) {
  if (waiting_ != step) {
    return absl::InvalidArgumentError(
        absl::StrCat("a basis of step ", step, " that is not waited for"));
  }
  if (basis.size() != shape_.left_elements() * sizeof(float)) {
    return absl::DataLossError(
        absl::StrCat("a basis has ", basis.size(), " bytes instead of ",
                     shape_.left_elements() * sizeof(float)));
  }
  std::vector<float> values(shape_.left_elements());
  std::memcpy(values.data(), basis.data(), basis.size());
  for (const float value : values) {
    if (!std::isfinite(value)) {
      return absl::InvalidArgumentError("a basis is not finite");
    }
  }
  basis_ = std::move(values);
  waiting_.reset();
  const std::span<float> matrix =
      residual_.empty() ? std::span<float>(own_matrix_) : residual_;
  MultiplyLeft(shape_, matrix, basis_, own_right_);
  return own_right_;
}

void LowRankTensor::Settle() {
  if (residual_.empty()) return;
  SubtractFactors(shape_, basis_, own_right_, residual_);
}

}  // namespace terse
