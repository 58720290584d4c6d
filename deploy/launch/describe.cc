#include "deploy/launch/describe.h"

#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace terse {

std::string ShapeName(const Shape& shape) { return absl::StrJoin(shape, "x"); }

std::string QuantizerName(const TensorPlan& tensor) {
  return tensor.quantizer == nullptr ? "fp32" : tensor.quantizer->Describe();
}

std::string DownName(const TensorPlan& tensor) {
  if (tensor.quantizer != nullptr) return "codes";
  return tensor.sum_down ? "sum" : "weights";
}

std::string CodecName(const TensorPlan& tensor) {
  if (tensor.codec == nullptr) return "fp32";
  const std::string name =
      tensor.low_rank.any()
          ? absl::StrCat("powersgd:rank=", tensor.low_rank.rank)
          : tensor.codec->Describe();
  return name + (tensor.error_feedback ? "+ef" : "");
}

double BitsPerElement(uint64_t bytes, uint64_t elements) {
  return 8.0 * static_cast<double>(bytes) / static_cast<double>(elements);
}

uint64_t MultiplyAdds(const Plan& plan) {
  uint64_t total = 0;
  for (const LayerSpec& layer : plan.model.layers) total += layer.multiply_adds;
  return total;
}

std::vector<uint32_t> ShardsOf(const Plan& plan, uint32_t tensor) {
  std::set<uint32_t> shards;
  const TensorPlan& spec = plan.tensors[tensor];
  for (uint32_t b = 0; b < spec.block_count; ++b) {
    shards.insert(plan.blocks[spec.first_block + b].shard);
  }
  return {shards.begin(), shards.end()};
}

}  // namespace terse
