#include "server/block_store.h"

#include <algorithm>
#include <cstring>

#include "common/base/random.h"
#include "common/base/status.h"

namespace terse {

BlockStore::BlockStore(const Job& job, const Plan& plan, uint32_t shard)
    : job_(job), plan_(plan), ids_(plan.BlocksOf(shard, /*buffers=*/false)) {
  size_t total = 0;
  for (uint32_t id : ids_) {
    places_[id] = {total, plan.blocks[id].count};
    total += plan.blocks[id].count;
  }
  weights_.resize(total);
  state_.assign(OptimizerStateNames(job.optimizer()).size(),
                std::vector<float>(total));
  for (uint32_t id : ids_) {
    InitializeBlock(plan, id, job.seed(), MutableWeights(id));
  }
}

std::span<const float> BlockStore::Weights(uint32_t block) const {
  const Place& place = places_.at(block);
  return std::span(weights_).subspan(place.offset, place.count);
}

std::span<float> BlockStore::MutableWeights(uint32_t block) {
  const Place& place = places_.at(block);
  return std::span(weights_).subspan(place.offset, place.count);
}

std::vector<std::span<float>> BlockStore::State(uint32_t block) {
  const Place& place = places_.at(block);
  std::vector<std::span<float>> state;
  for (std::vector<float>& array : state_) {
    state.push_back(std::span(array).subspan(place.offset, place.count));
  }
  return state;
}

const TensorPlan& BlockStore::TensorOf(uint32_t block) const {
  return plan_.tensors[plan_.blocks[block].tensor];
}

QuantizeArgs BlockStore::ArgsOf(uint32_t block,
                                const TensorStats& weight_stats) const {
  return {.weight_stats = weight_stats,
          .first_index = plan_.blocks[block].first_index,
          .row_elements = TensorOf(block).row_elements};
}

absl::Status BlockStore::Validate(uint32_t block, const Buffer& payload) const {
  return Annotate(
      TensorOf(block).codec->Validate(payload.bytes(),
                                      plan_.blocks[block].count),
      "gradient of " + plan_.model.tensors[plan_.blocks[block].tensor].name);
}

void BlockStore::Aggregate(uint32_t block,
                           std::span<const Contribution> contributions,
                           std::span<float> gradient) const {
  std::fill(gradient.begin(), gradient.end(), 0.0f);
  const Codec& codec = *TensorOf(block).codec;
  for (const Contribution& contribution : contributions) {
    codec.DecodeAdd(contribution.payload.bytes(),
                    static_cast<float>(contribution.weight), gradient);
  }
}

TensorStats BlockStore::WeightStats(uint32_t block) const {
  return TensorOf(block).quantizer->WeightStats(Weights(block));
}

TensorStats BlockStore::GradientStats(uint32_t block,
                                      std::span<const float> gradient,
                                      const TensorStats& weight_stats) const {
  return TensorOf(block).quantizer->GradientStats(Weights(block), gradient,
                                                  ArgsOf(block, weight_stats));
}

void BlockStore::ChainRule(uint32_t block, const TensorStats& weight_stats,
                           const TensorStats& gradient_stats,
                           std::span<float> gradient) const {
  const TensorPlan& tensor = TensorOf(block);
  if (tensor.quantizer == nullptr) return;
  QuantizeArgs args = ArgsOf(block, weight_stats);
  args.gradient_stats = gradient_stats;
  tensor.quantizer->ChainRule(Weights(block), args, gradient);
}

namespace {

float GradientMax(const Job& job) {
  return job.clip().value() > 0 ? job.clip().value() : kUnbounded;
}

}  // namespace

double BlockStore::SquareSum(std::span<const float> gradient) const {
  return ClippedSquareSum(gradient, GradientMax(job_));
}

void BlockStore::Update(uint32_t block, uint64_t step, float learning_rate,
                        float gradient_scale, std::span<const float> gradient) {
  const TensorPlan& tensor = TensorOf(block);
  const UpdateArgs args = {.step = step,
                           .learning_rate = learning_rate,
                           .update_scale = tensor.update_scale,
                           .gradient_scale = gradient_scale,
                           .gradient_max = GradientMax(job_),
                           .weight_decay = tensor.weight_decay,
                           .weight_max = tensor.weight_max};
  ApplyUpdate(job_.optimizer(), args, gradient, MutableWeights(block),
              State(block));
}

Buffer BlockStore::EncodeWeights(uint32_t block, uint64_t version,
                                 const TensorStats& weight_stats) const {
  const std::span<const float> weights = Weights(block);
  const TensorPlan& tensor = TensorOf(block);
  if (tensor.quantizer == nullptr)
    return Buffer::CopyOf(std::as_bytes(weights));
  QuantizeArgs args = ArgsOf(block, weight_stats);
  args.key = DrawKey(Draw::kQuantize,
                     {job_.seed(), version, plan_.blocks[block].tensor});
  Buffer codes =
      Buffer::Allocate(tensor.quantizer->EncodedBytes(weights.size()));
  tensor.quantizer->Encode(weights, args, codes.mutable_bytes());
  return codes;
}

Sha256Digest BlockStore::Digest(uint32_t block) const {
  return Sha256Of(std::as_bytes(Weights(block)));
}

}  // namespace terse
