#include "server/block_store.h"

#include <algorithm>
#include <cstring>
#include <optional>

#include "absl/strings/str_cat.h"
#include "common/base/random.h"
#include "common/base/status.h"
#include "common/kernels/moments.h"
#include "common/quantize/training_rule.h"

namespace terse {
namespace {

float GradientMax(const Job& job) {
  return job.clip().value() > 0 ? job.clip().value() : kUnbounded;
}

}  // namespace

BlockStore::BlockStore(const Job& job, const Plan& plan, uint32_t shard)
    : job_(job), plan_(plan), ids_(plan.BlocksOf(shard, /*buffers=*/false)) {
  size_t total = 0;
  for (uint32_t id : ids_) {
    places_[id] = {.offset = total,
                   .count = plan.blocks[id].count,
                   .shared_scale = InitialScale(TensorOf(id))};
    total += plan.blocks[id].count;
  }
  weights_.resize(total);
  state_.assign(OptimizerStateNames(job.optimizer()).size(),
                std::vector<float>(total));
  for (uint32_t id : ids_) {
    InitializeBlock(plan, id, job.seed(), MutableWeights(id));
    const TensorPlan& tensor = TensorOf(id);
    if (tensor.rule != Quantize::BC) {
      RoundToGrid(tensor.grid, MutableWeights(id));
    }
    if (tensor.low_rank.any()) {
      Place& place = places_.at(id);
      place.basis.resize(tensor.low_rank.left_elements());
      place.right_factor.resize(tensor.low_rank.right_elements());
      WarmStart(tensor.low_rank, WarmStartKey(job.seed(), id),
                place.right_factor);
    }
    if (tensor.quantizer == nullptr) continue;
    const size_t scales = tensor.quantizer->LearnedScales();
    if (scales == 0) continue;
    Learned& learned = learned_[plan.blocks[id].tensor];
    learned.scales.assign(scales, 1.0f);
    learned.scales_before = learned.scales;
    learned.state.assign(state_.size(), std::vector<float>(scales));
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

std::vector<std::span<const float>> BlockStore::State(uint32_t block) const {
  const Place& place = places_.at(block);
  std::vector<std::span<const float>> state;
  for (const std::vector<float>& array : state_) {
    state.push_back(std::span(array).subspan(place.offset, place.count));
  }
  return state;
}

std::span<const float> BlockStore::LearnedScales(uint32_t tensor) const {
  const auto found = learned_.find(tensor);
  if (found == learned_.end()) return {};
  return found->second.scales;
}

const TensorPlan& BlockStore::TensorOf(uint32_t block) const {
  return plan_.tensors[plan_.blocks[block].tensor];
}

QuantizeArgs BlockStore::ArgsOf(uint32_t block,
                                const TensorStats& weight_stats) const {
  return {.weight_stats = weight_stats,
          .first_index = plan_.blocks[block].first_index,
          .learned = LearnedScales(plan_.blocks[block].tensor)};
}

absl::Status BlockStore::Validate(uint32_t block, Part part,
                                  const Buffer& payload) const {
  const TensorPlan& tensor = TensorOf(block);
  const size_t count = part == Part::kGradient ? plan_.blocks[block].count
                       : part == Part::kLeftFactor
                           ? tensor.low_rank.left_elements()
                           : tensor.low_rank.right_elements();
  return Annotate(
      tensor.codec->Validate(payload.bytes(), count),
      "gradient of " + plan_.model.tensors[plan_.blocks[block].tensor].name);
}

Buffer BlockStore::MakeBasis(uint32_t block,
                             std::span<const Contribution> contributions) {
  const TensorPlan& tensor = TensorOf(block);
  std::vector<float>& basis = places_.at(block).basis;
  AddContributions(*tensor.codec, contributions, basis);
  Orthonormalize(tensor.low_rank, basis);
  return Buffer::CopyOf(std::as_bytes(std::span<const float>(basis)));
}

Buffer BlockStore::AggregateFactors(uint32_t block,
                                    std::span<const Contribution> contributions,
                                    std::span<float> gradient) {
  const TensorPlan& tensor = TensorOf(block);
  Place& place = places_.at(block);
  std::vector<float>& right = place.right_factor;
  AddContributions(*tensor.codec, contributions, right);
  MultiplyFactors(tensor.low_rank, place.basis, right, gradient);
  Buffer sum = tensor.sum_down ? EncodeFactorSum(right) : Buffer();
  WarmStart(tensor.low_rank, WarmStartKey(job_.seed(), block), right);
  return sum;
}

Buffer BlockStore::Aggregate(uint32_t block, uint64_t step,
                             std::span<const Contribution> contributions,
                             std::span<float> gradient, bool sums) {
  const TensorPlan& tensor = TensorOf(block);
  if (tensor.low_rank.any()) {
    return AggregateFactors(block, contributions, gradient);
  }
  const bool wanted = sums || tensor.sum_down;
  const SumContext context = SumContextOf(plan_, block);
  if (tensor.level_codec == nullptr) {
    AddContributions(*tensor.codec, contributions, gradient);
    if (!wanted) return {};
    return EncodeMean(context, contributions, gradient);
  }

  TERSE_CHECK(contributions.size() == context.workers);
  Place& place = places_.at(block);
  const float scale = place.shared_scale;
  float own_scale_max = 0;
  for (const Contribution& part : contributions) {
    own_scale_max = std::max(
        own_scale_max, tensor.level_codec->OwnScale(part.payload.bytes()));
  }
  const std::optional<float>& given =
      tensor.level_codec->sum_options().given_scale;
  if (!given) place.shared_scale = AgreedScale(own_scale_max);
  if (step == plan_.codec_since && !given) {
    AddContributions(*tensor.codec, contributions, gradient);
    if (!wanted) return {};
    return EncodeMean(context, contributions, gradient);
  }
  LevelSums level_sums(*tensor.level_codec, context.workers, context.count);
  for (const Contribution& part : contributions) {
    level_sums.Add(*tensor.level_codec, part.payload.bytes());
  }
  MeanOfLevels(context, level_sums, scale, gradient);
  if (!wanted) return {};
  return EncodeLevelSum(context, level_sums, scale);
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
  const auto learned = learned_.find(plan_.blocks[block].tensor);
  if (learned != learned_.end()) args.learned = learned->second.scales_before;
  tensor.quantizer->ChainRule(Weights(block), args, gradient);
}

double BlockStore::SquareSum(std::span<const float> gradient) const {
  return ClippedSquareSum(gradient,
                          UpdateArgsOf(job_, {}, 0, 0, 1).gradient_max);
}

void BlockStore::UpdateLearned(uint32_t tensor,
                               const TensorStats& gradient_stats,
                               float learning_rate) {
  const auto found = learned_.find(tensor);
  if (found == learned_.end()) return;
  Learned& learned = found->second;
  learned.scales_before = learned.scales;
  const float gradient[] = {static_cast<float>(gradient_stats.sum),
                            static_cast<float>(gradient_stats.second_sum)};
  std::vector<std::span<float>> state(learned.state.begin(),
                                      learned.state.end());
  ApplyUpdate(job_.optimizer(),
              {.step = learned.updates++,
               .learning_rate = learning_rate,
               .gradient_max = GradientMax(job_)},
              std::span(gradient).first(learned.scales.size()), learned.scales,
              state);
  for (float& scale : learned.scales) scale = scale < 0 ? 0 : scale;
}

absl::Status BlockStore::Update(uint32_t block, uint64_t step,
                                float learning_rate, float gradient_scale,
                                std::span<const float> gradient) {
  const TensorPlan& tensor = TensorOf(block);
  const std::span<float> weights = MutableWeights(block);
  const bool centered = tensor.center_positions > 0;
  UpdateArgs args =
      UpdateArgsOf(job_, tensor, step, learning_rate, gradient_scale);
  if (centered) args.weight_max = kUnbounded;
  ApplyUpdate(job_.optimizer(), args, gradient, weights, State(block));
  if (tensor.quantizer == nullptr) return absl::OkStatus();
  if (centered) {
    CenterChannels(tensor.row_elements / tensor.center_positions,
                   tensor.center_positions, weights);
    ClipWeights(tensor.weight_max, weights);
  }
  if (tensor.rule == Quantize::R) {
    RoundToGrid(tensor.grid, weights);
  } else if (tensor.rule == Quantize::SR) {
    const BlockSpec& spec = plan_.blocks[block];
    RoundToGridAtRandom(tensor.grid,
                        DrawKey(Draw::kRound, {job_.seed(), step, spec.tensor}),
                        spec.first_index, weights);
  }
  if (AddMaxAbs(weights.data(), weights.size(), nullptr) < kInfinityBits) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "weights of ", plan_.model.tensors[plan_.blocks[block].tensor].name,
      " are not finite after update ", step + 1,
      "; a lower optimizer.learning_rate or clip.global_norm may help"));
}

Buffer BlockStore::EncodeWeights(uint32_t block, uint64_t version,
                                 const TensorStats& weight_stats) const {
  const std::span<const float> weights = Weights(block);
  const TensorPlan& tensor = TensorOf(block);
  const size_t bytes = tensor.quantizer == nullptr
                           ? weights.size_bytes()
                           : tensor.quantizer->EncodedBytes(weights.size());
  const float scale = SharedScale(block);
  const std::vector<float>& right = places_.at(block).right_factor;
  const std::span<const float> next =
      tensor.level_codec != nullptr ? std::span(&scale, 1) : std::span(right);
  Buffer codes = Buffer::Allocate(bytes + next.size_bytes());
  const std::span<std::byte> target = codes.mutable_bytes();
  std::copy_n(std::as_bytes(next).begin(), next.size_bytes(),
              target.begin() + static_cast<ptrdiff_t>(bytes));
  if (tensor.quantizer == nullptr) {
    std::memcpy(target.data(), weights.data(), bytes);
    return codes;
  }
  QuantizeArgs args = ArgsOf(block, weight_stats);
  args.key = DrawKey(Draw::kQuantize,
                     {job_.seed(), version, plan_.blocks[block].tensor});
  tensor.quantizer->Encode(weights, args, target.first(bytes));
  return codes;
}

Sha256Digest BlockStore::Digest(uint32_t block) const {
  const std::span<const float> weights = Weights(block);
  const uint32_t tensor = plan_.blocks[block].tensor;
  const std::span<const float> learned = LearnedScales(tensor);
  if (learned.empty() || block != plan_.tensors[tensor].first_block) {
    return Sha256Of(std::as_bytes(weights));
  }
  std::vector<float> both(weights.begin(), weights.end());
  both.insert(both.end(), learned.begin(), learned.end());
  return Sha256Of(std::as_bytes(std::span<const float>(both)));
}

}  // namespace terse
