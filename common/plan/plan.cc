#include "common/plan/plan.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/limits.h"
#include "common/base/random.h"
#include "common/base/status.h"
#include "common/codec/factory.h"
#include "common/config/job.h"
#include "common/config/names.h"
#include "common/optimizer/schedule.h"
#include "common/plan/blocks.h"

namespace terse {
namespace {

using Role = TensorSpec::Role;

// Index of the last of `rules` that matches `name`; -1: none does.
template <typename Rules>
int LastMatch(const Rules& rules, const std::string& name) {
  for (int i = rules.size() - 1; i >= 0; --i) {
    if (GlobMatches(rules[i].match(), name)) return i;
  }
  return -1;
}

// Every rule must match something that it can apply to: a misspelt pattern
// would otherwise train another network than the one asked for.
template <typename Rules>
absl::Status CheckRules(const Rules& rules, const std::string& path,
                        const std::string& what,
                        const std::vector<std::string>& names) {
  for (int i = 0; i < rules.size(); ++i) {
    bool matches = false;
    for (const std::string& name : names) {
      matches = matches || GlobMatches(rules[i].match(), name);
    }
    if (matches) continue;
    std::string nearest;
    size_t nearest_distance = std::numeric_limits<size_t>::max();
    for (const std::string& name : names) {
      const size_t distance = EditDistance(rules[i].match(), name);
      if (distance < nearest_distance) {
        nearest = name;
        nearest_distance = distance;
      }
    }
    return WithExitCode(
        absl::InvalidArgumentError(absl::StrCat(
            path, ".", i, ".match: '", ForMessage(rules[i].match()),
            "' matches no ", what, "; the nearest is '", nearest, "'")),
        ExitCode::kBadJob);
  }
  return absl::OkStatus();
}

// The same without compression: momentum and clipping must not depend on size.
GradientCodec Uncompressed(const GradientCodec& options) {
  GradientCodec codec;
  codec.set_momentum_correction(options.momentum_correction());
  codec.set_local_clip_norm(options.local_clip_norm());
  codec.set_nan(options.nan());
  return codec;
}

// Whether some elements are sent and others wait.
bool IsSparse(const GradientCodec& options) {
  return options.kind() == GradientCodec::TOPK ||
         options.kind() == GradientCodec::RANDOMK ||
         options.kind() == GradientCodec::THRESHOLD;
}

class Planner {
 public:
  Planner(const Job& job, ModelSpec model) : job_(job) {
    plan_.model = std::move(model);
    plan_.workers = job.cluster().workers();
    plan_.lockstep = job.cluster().mode() == Cluster::BSP;
    const auto& choices = job.compress().auto_().choices();
    if (IsAuto(job) && !choices.empty()) {
      plan_.codec_since = choices.rbegin()->step();
    }
  }

  absl::StatusOr<Plan> Make() {
    TERSE_RETURN_IF_ERROR(CheckAllRules());
    for (const TensorSpec& spec : plan_.model.tensors) {
      TensorPlan tensor = {
          .row_elements = spec.role == Role::kWeight ? spec.fan_in : 1,
          .weight_max = std::numeric_limits<float>::infinity()};
      if (spec.role != Role::kBuffer) {
        TERSE_RETURN_IF_ERROR(ChooseCodec(spec, tensor));
      }
      if (spec.role == Role::kWeight) {
        TERSE_RETURN_IF_ERROR(ChooseQuantizer(spec, tensor));
      }
      plan_.tensors.push_back(std::move(tensor));
    }
    TERSE_RETURN_IF_ERROR(CutBlocks(plan_));
    TERSE_RETURN_IF_ERROR(CheckSharedScales());
    TERSE_RETURN_IF_ERROR(ChooseDown());
    TERSE_RETURN_IF_ERROR(DealBlocks(ServerCount(job_), plan_));
    return std::move(plan_);
  }

 private:
  absl::Status CheckAllRules() const {
    std::vector<std::string> weights, parameters;
    for (const TensorSpec& spec : plan_.model.tensors) {
      if (spec.role == Role::kWeight) weights.push_back(spec.name);
      if (spec.role != Role::kBuffer) parameters.push_back(spec.name);
    }
    TERSE_RETURN_IF_ERROR(CheckRules(job_.quantize().rules(), "quantize.rules",
                                     "weight of a layer", weights));
    return CheckRules(job_.compress().rules(), "compress.rules", "parameter",
                      parameters);
  }

  absl::Status ChooseCodec(const TensorSpec& spec, TensorPlan& tensor) {
    const Compress& compress = job_.compress();
    const bool small =
        ElementCount(spec.shape) < compress.small_tensor_elements();
    const int rule = LastMatch(compress.rules(), spec.name);
    const GradientCodec options = rule >= 0 ? compress.rules(rule).gradient()
                                  : small   ? Uncompressed(GradientOf(job_))
                                            : GradientOf(job_);
    tensor.error_feedback =
        options.error_feedback() && options.kind() != GradientCodec::NONE;
    TERSE_RETURN_IF_ERROR(ChooseFeedback(options, tensor));
    if (options.kind() == GradientCodec::POWERSGD) {
      return ChooseLowRank(spec, options, tensor);
    }
    const BlockRows rows = {.elements = tensor.row_elements,
                            .active_share = ActiveShare()};
    std::shared_ptr<const Codec>& codec = codecs_[{
        options.SerializeAsString(), rows.elements, rows.active_share}];
    if (codec == nullptr) {
      absl::StatusOr<std::unique_ptr<Codec>> made = MakeCodec(options, rows);
      if (!made.ok()) return BadJob("compress", made.status());
      codec = *std::move(made);
    }
    tensor.codec = codec;
    tensor.warmup_ratios.assign(options.warmup_ratios().begin(),
                                options.warmup_ratios().end());
    if (codec->ScansTensor() && ElementCount(spec.shape) > kScanElementsMax) {
      return BadJob("compress",
                    absl::InvalidArgumentError(absl::StrCat(
                        spec.name, " has more than ", kScanElementsMax,
                        " elements; use per: block")));
    }
    tensor.level_codec = dynamic_cast<const LevelCodec*>(codec.get());
    return absl::OkStatus();
  }

  absl::Status ChooseLowRank(const TensorSpec& spec,
                             const GradientCodec& options, TensorPlan& tensor) {
    const auto refuse = [](auto... text) {
      return BadJob("compress", absl::InvalidArgumentError(
                                    absl::StrCat("kind powersgd ", text...)));
    };
    if (job_.cluster().mode() != Cluster::BSP) {
      return refuse("needs cluster.mode: bsp");
    }
    if (options.momentum_correction() > 0 || options.local_clip_norm() > 0) {
      return refuse("goes without momentum_correction and local_clip_norm; ",
                    "use optimizer.momentum and clip.global_norm");
    }
    const uint64_t elements = ElementCount(spec.shape);
    LowRank shape = {.rows = spec.shape[0],
                     .columns = elements / spec.shape[0]};
    shape.rank = std::min<size_t>({options.rank(), shape.rows, shape.columns});
    static const auto* const floats =
        new std::shared_ptr<const Codec>(*MakeCodec(GradientCodec()));
    tensor.codec = *floats;
    if (spec.role != Role::kWeight ||
        shape.left_elements() + shape.right_elements() >= elements) {
      tensor.error_feedback = false;
      tensor.feedback = {};
      return absl::OkStatus();
    }
    if (elements > kLowRankElementsMax) {
      return refuse("takes tensors of at most ", kLowRankElementsMax,
                    " elements, but ", spec.name, " has ", elements,
                    "; give it another codec by a rule");
    }
    tensor.low_rank = shape;
    return absl::OkStatus();
  }

  // Share of the rows of the tensor being planned that backward leaves.
  double ActiveShare() const {
    const auto tensor = static_cast<uint32_t>(plan_.tensors.size());
    for (const LayerSpec& layer : plan_.model.layers) {
      if (layer.weight != tensor || layer.outputs_kept == 0 ||
          !layer.backward.unified()) {
        continue;
      }
      return static_cast<double>(layer.outputs_kept) /
             static_cast<double>(plan_.model.tensors[tensor].shape[0]);
    }
    return 1;
  }

  // Sums of levels need every worker's, and must fit a float.
  absl::Status CheckSharedScales() const {
    for (const TensorPlan& tensor : plan_.tensors) {
      if (tensor.level_codec == nullptr) continue;
      if (job_.cluster().mode() != Cluster::BSP) {
        return BadJob("compress", absl::InvalidArgumentError(
                                      "sums of levels (scale: shared, "
                                      "scale: given, majority) need "
                                      "cluster.mode: bsp"));
      }
      const uint64_t levels = tensor.level_codec->Top() + 1;
      if ((levels - 1) * job_.cluster().workers() > kLevelSumMax) {
        return BadJob("compress",
                      absl::InvalidArgumentError(absl::StrCat(
                          levels, " levels of ", job_.cluster().workers(),
                          " workers do not fit a sum of ", kLevelSumMax,
                          ": use fewer levels or scale: own")));
      }
    }
    return absl::OkStatus();
  }

  absl::Status ChooseDown() {
    const Compress::Down down = job_.compress().down();
    const bool bsp = job_.cluster().mode() == Cluster::BSP;
    if (down == Compress::SUM && !bsp) {
      return BadJob("compress", absl::InvalidArgumentError(
                                    "down: sum needs cluster.mode: bsp"));
    }
    // Sums of fewer gradients than there are workers have no form.
    const bool fewer = job_.cluster().backup_workers() > 0 ||
                       job_.cluster().on_worker_loss() == Cluster::CONTINUE;
    if (down == Compress::WEIGHTS || !bsp ||
        (fewer && down == Compress::AUTO)) {
      return absl::OkStatus();
    }
    for (TensorPlan& tensor : plan_.tensors) {
      if (tensor.codec == nullptr || tensor.quantizer != nullptr) continue;
      // All blocks but the last have as many elements.
      const size_t count = plan_.blocks[tensor.first_block].count;
      const size_t weight_bytes = count * sizeof(float);
      if (!tensor.low_rank.any() &&
          tensor.codec->TypicalEncodedBytes(count) >= weight_bytes) {
        continue;
      }
      // The workers' part of the work wants a gain that is worth it.
      tensor.sum_down =
          down == Compress::SUM ||
          2 * TypicalSumBytes(SumContextOf(plan_, tensor.first_block)) <=
              weight_bytes;
    }
    return absl::OkStatus();
  }

  absl::Status ChooseFeedback(const GradientCodec& options,
                              TensorPlan& tensor) const {
    const float momentum = options.momentum_correction();
    if (momentum > 0 && job_.optimizer().momentum() > 0) {
      return BadJob("compress", absl::InvalidArgumentError(
                                    "momentum_correction is the momentum; "
                                    "leave optimizer.momentum out"));
    }
    if (!tensor.error_feedback && options.kind() != GradientCodec::NONE &&
        (momentum > 0 || options.residual_decay() != 1)) {
      return BadJob("compress",
                    absl::InvalidArgumentError(
                        "momentum_correction and residual_decay need "
                        "error_feedback: true"));
    }
    tensor.feedback = {
        .error_feedback = tensor.error_feedback,
        .residual_decay = options.residual_decay(),
        .momentum = momentum,
        .momentum_masking = IsSparse(options) && options.momentum_masking(),
        .gradient_norm_max =
            options.local_clip_norm() /
            std::sqrt(static_cast<float>(job_.cluster().workers())),
        .zero_non_finite = options.nan() == GradientCodec::ZERO};
    return absl::OkStatus();
  }

  absl::Status ChooseQuantizer(const TensorSpec& spec, TensorPlan& tensor) {
    const Quantize& quantize = job_.quantize();
    const int rule = LastMatch(quantize.rules(), spec.name);
    const bool full = spec.is_table || (IsEnd() && EndsStayFull());
    const WeightQuantization& options =
        rule >= 0 ? quantize.rules(rule).weights()
        : full    ? WeightQuantization::default_instance()
                  : quantize.weights();
    std::shared_ptr<const WeightQuantizer>& quantizer =
        quantizers_[{options.SerializeAsString(), tensor.row_elements}];
    if (quantizer == nullptr) {
      auto made = MakeWeightQuantizer(options, tensor.row_elements);
      if (!made.ok()) return BadJob("quantize", made.status());
      quantizer = *std::move(made);
    }
    tensor.quantizer = quantizer;
    tensor.weight_decay = spec.is_table ? 0 : job_.optimizer().weight_decay();

    const bool binary_connect =
        options.kind() == WeightQuantization::BINARYCONNECT ||
        options.kind() == WeightQuantization::BINARYCONNECT_STOCHASTIC;
    if (quantizer != nullptr) {
      TERSE_RETURN_IF_ERROR(ChooseRule(spec, options, tensor));
    }
    // BinaryConnect starts from the whole of what its clip allows; the others
    // keep the variance of the activations (He et al. 2015, 1502.01852).
    tensor.initial_max =
        binary_connect
            ? 1.0f
            : std::min(static_cast<float>(std::sqrt(6.0 / double(spec.fan_in))),
                       tensor.weight_max);
    const bool scaled =
        quantize.update_scale() == Quantize::GLOROT ||
        (quantize.update_scale() == Quantize::AUTO && binary_connect);
    if (quantizer != nullptr && scaled) {
      tensor.update_scale =
          GlorotUpdateScale(job_.optimizer(), spec.fan_in, spec.fan_out);
    }
    return absl::OkStatus();
  }

  // Whether the tensor being planned belongs to the first or the last layer
  // that has weights to quantize.
  bool IsEnd() const {
    std::optional<uint32_t> first, last;
    for (const LayerSpec& layer : plan_.model.layers) {
      if (layer.kind != LayerSpec::Kind::kLinear &&
          layer.kind != LayerSpec::Kind::kConv &&
          layer.kind != LayerSpec::Kind::kEmbedding) {
        continue;
      }
      if (!first) first = layer.weight;
      last = layer.weight;
    }
    const auto tensor = static_cast<uint32_t>(plan_.tensors.size());
    return tensor == first || tensor == last;
  }

  // BWN (1603.05279), DoReFa (1606.06160) and TTQ (1612.01064) leave them
  // alone.
  bool EndsStayFull() const {
    const WeightQuantization::Kind kind = job_.quantize().weights().kind();
    switch (job_.quantize().ends()) {
      case Quantize::FULL:
        return true;
      case Quantize::QUANTIZED:
        return false;
      case Quantize::PAPER:
        break;
    }
    return kind == WeightQuantization::BWN ||
           kind == WeightQuantization::DOREFA ||
           kind == WeightQuantization::TTQ;
  }

  // What is done to the shadow weights of a quantized tensor.
  absl::Status ChooseRule(const TensorSpec& spec,
                          const WeightQuantization& options,
                          TensorPlan& tensor) const {
    const Quantize& quantize = job_.quantize();
    tensor.weight_max = tensor.quantizer->ShadowMax();
    if (quantize.has_shadow_max()) {
      tensor.weight_max = quantize.shadow_max() > 0
                              ? quantize.shadow_max()
                              : std::numeric_limits<float>::infinity();
    }
    if (options.center()) {
      tensor.center_positions =
          ElementCount(spec.shape) / spec.shape[0] / spec.shape[1];
    }
    tensor.rule = quantize.rule();
    if (tensor.rule == Quantize::BC) return absl::OkStatus();
    const std::optional<WeightGrid> grid = tensor.quantizer->Grid();
    if (!grid) {
      return BadJob(
          "quantize.rule",
          absl::InvalidArgumentError(absl::StrCat(
              "the weights of ", spec.name, " (", tensor.quantizer->Describe(),
              ") have no grid of their own; use binaryconnect, or "
              "uniform with `max`")));
    }
    tensor.grid = *grid;
    return absl::OkStatus();
  }

  static absl::Status BadJob(const char* path, const absl::Status& status) {
    return WithExitCode(Annotate(status, path), ExitCode::kBadJob);
  }

  const Job& job_;
  Plan plan_;
  // One object for all tensors that ask for the same.
  std::map<std::tuple<std::string, uint64_t, double>,
           std::shared_ptr<const Codec>>
      codecs_;
  std::map<std::pair<std::string, uint64_t>,
           std::shared_ptr<const WeightQuantizer>>
      quantizers_;
};

}  // namespace

uint64_t Plan::ParameterCount() const {
  uint64_t count = 0;
  for (const TensorSpec& spec : model.tensors) {
    if (spec.role != Role::kBuffer) count += ElementCount(spec.shape);
  }
  return count;
}

std::vector<uint32_t> Plan::BlocksOf(uint32_t shard, bool buffers) const {
  std::vector<uint32_t> held;
  for (uint32_t b = 0; b < blocks.size(); ++b) {
    if (blocks[b].shard == shard && IsBuffer(blocks[b].tensor) == buffers) {
      held.push_back(b);
    }
  }
  return held;
}

absl::StatusOr<Plan> MakePlan(const Job& job) {
  TERSE_ASSIGN_OR_RETURN(ModelSpec model, MakeModelSpec(job));
  return Planner(job, std::move(model)).Make();
}

SumContext SumContextOf(const Plan& plan, uint32_t block) {
  const TensorPlan& tensor = plan.tensors[plan.blocks[block].tensor];
  return {.codec = *tensor.codec,
          .level_codec = tensor.level_codec,
          .workers = plan.workers,
          .count = plan.blocks[block].count,
          .low_rank = tensor.low_rank};
}

uint64_t WarmStartKey(uint64_t seed, uint32_t block) {
  return DrawKey(Draw::kLowRank, {seed, block});
}

UpdateArgs UpdateArgsOf(const Job& job, const TensorPlan& tensor, uint64_t step,
                        float learning_rate, float gradient_scale) {
  return {
      .step = step,
      .learning_rate = learning_rate,
      .update_scale = tensor.update_scale,
      .gradient_scale = gradient_scale,
      .gradient_max = job.clip().value() > 0 ? job.clip().value() : kUnbounded,
      .weight_decay = tensor.weight_decay,
      .weight_max = tensor.weight_max};
}

void InitializeBlock(const Plan& plan, uint32_t block, uint64_t seed,
                     std::span<float> values) {
  const BlockSpec& spec = plan.blocks[block];
  TERSE_CHECK(values.size() == spec.count);
  const TensorSpec& tensor = plan.model.tensors[spec.tensor];
  if (tensor.role != Role::kWeight) {
    std::fill(values.begin(), values.end(), tensor.initial_value);
    return;
  }
  const uint64_t key = DrawKey(Draw::kInit, {seed, spec.tensor});
  const float max = plan.tensors[spec.tensor].initial_max;
  for (uint32_t i = 0; i < spec.count; ++i) {
    values[i] = max * (2 * RandomUnit(key, spec.first_index + i) - 1);
  }
}

}  // namespace terse
