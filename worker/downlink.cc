#include "worker/downlink.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"

namespace terse {

BlockSet::BlockSet(std::vector<bool> wanted)
    : wanted_(std::move(wanted)),
      wanted_count_(std::count(wanted_.begin(), wanted_.end(), true)) {
  Await(0);
}

void BlockSet::Await(uint64_t version) {
  taken_.assign(wanted_.size(), false);
  missing_ = wanted_count_;
  version_ = version;
}

absl::Status BlockSet::Take(uint64_t version, uint32_t block) {
  if (version != version_ || block >= wanted_.size() || !wanted_[block] ||
      taken_[block]) {
    return absl::InvalidArgumentError(
        absl::StrCat("block ", block, " of version ", version,
                     " while version ", version_, " is awaited"));
  }
  taken_[block] = true;
  --missing_;
  return absl::OkStatus();
}

absl::Status DecodeFloats(const Plan& plan, uint32_t block,
                          const Buffer& payload,
                          std::span<float> tensor_values) {
  const BlockSpec& spec = plan.blocks[block];
  if (payload.size() != spec.count * sizeof(float)) {
    return absl::DataLossError(
        absl::StrCat("fp32 block ", block, " has ", payload.size(),
                     " bytes instead of ", spec.count * sizeof(float)));
  }
  std::memcpy(tensor_values.data() + spec.first_index, payload.bytes().data(),
              payload.size());
  return absl::OkStatus();
}

absl::StatusOr<float> TakeSharedScale(const Plan& plan, uint32_t block,
                                      Buffer& payload) {
  if (plan.tensors[plan.blocks[block].tensor].level_codec == nullptr) return 0;
  float scale;
  if (payload.size() < sizeof(scale)) {
    return absl::DataLossError(absl::StrCat(
        "block ", block, " has ", payload.size(), " bytes and no scale"));
  }
  const size_t bytes = payload.size() - sizeof(scale);
  std::memcpy(&scale, payload.bytes().data() + bytes, sizeof(scale));
  if (!std::isfinite(scale) || std::signbit(scale)) {
    return absl::InvalidArgumentError(
        absl::StrCat("block ", block, " has scale ", scale));
  }
  payload.Truncate(bytes);
  return scale;
}

absl::StatusOr<std::vector<float>> TakeRightFactor(const Plan& plan,
                                                   uint32_t block,
                                                   Buffer& payload) {
  std::vector<float> right(
      plan.tensors[plan.blocks[block].tensor].low_rank.right_elements());
  const size_t factor_bytes = right.size() * sizeof(float);
  if (payload.size() < factor_bytes) {
    return absl::DataLossError(absl::StrCat(
        "block ", block, " has ", payload.size(), " bytes and no factor"));
  }
  if (right.empty()) return right;
  const size_t bytes = payload.size() - factor_bytes;
  std::memcpy(right.data(), payload.bytes().data() + bytes, factor_bytes);
  for (const float value : right) {
    if (!std::isfinite(value)) {
      return absl::InvalidArgumentError(
          absl::StrCat("block ", block, " has a factor that is not finite"));
    }
  }
  payload.Truncate(bytes);
  return right;
}

absl::Status DecodeWeights(const Plan& plan, uint32_t block,
                           const Buffer& payload,
                           std::span<float> tensor_values) {
  const BlockSpec& spec = plan.blocks[block];
  const WeightQuantizer* quantizer = plan.tensors[spec.tensor].quantizer.get();
  if (quantizer == nullptr) {
    return DecodeFloats(plan, block, payload, tensor_values);
  }
  TERSE_RETURN_IF_ERROR(
      Annotate(quantizer->Validate(payload.bytes(), spec.count),
               "weights of " + plan.model.tensors[spec.tensor].name));
  quantizer->Decode(payload.bytes(),
                    tensor_values.subspan(spec.first_index, spec.count));
  return absl::OkStatus();
}

}  // namespace terse
