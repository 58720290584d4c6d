// What happens to every tensor of a job: its codec, its quantizer, its blocks
// and the shards that hold them. Every process computes the same plan from the
// job.
#ifndef TERSE_COMMON_PLAN_PLAN_H_
#define TERSE_COMMON_PLAN_PLAN_H_

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/codec/codec.h"
#include "common/codec/gradient_sum.h"
#include "common/codec/low_rank.h"
#include "common/optimizer/optimizer.h"
#include "common/plan/feedback_options.h"
#include "common/plan/model_spec.h"
#include "common/quantize/weight_quantizer.h"
#include "proto/job.pb.h"

namespace terse {

// A run of consecutive elements of one tensor: the unit of codec, round, update
// and frame. Blocks end at row boundaries where a row fits into a block, and do
// not depend on the number of shards. A low-rank tensor is one block.
struct BlockSpec {
  uint32_t tensor = 0;
  uint64_t first_index = 0;
  uint32_t count = 0;
  uint32_t shard = 0;
};

struct TensorPlan {
  // Up. Null for buffers, which travel as fp32 and only for an evaluation. Of
  // low-rank tensors: what codes their factors.
  std::shared_ptr<const Codec> codec;
  bool error_feedback = false;
  FeedbackOptions feedback;
  // In place of the codec's ratio in the first epochs, one after the other.
  std::vector<float> warmup_ratios;
  // `codec` if its scale is shared by the workers, else null. Blocks then come
  // down with the scale of the next step behind them.
  const LevelCodec* level_codec = nullptr;
  // Where it has a rank, two factors travel in place of the gradient, which is
  // one block; the right factor of the next step comes down with it.
  LowRank low_rank;
  // Down. Null: full precision.
  std::shared_ptr<const WeightQuantizer> quantizer;
  // From version 1 on what comes down is not the weights but what the gradients
  // add up to; the workers update replicas.
  bool sum_down = false;
  // BlockSpecs [first_block, first_block + block_count).
  uint32_t first_block = 0;
  uint32_t block_count = 0;
  uint64_t row_elements = 0;  // Elements of one output (filter, neuron).

  float initial_max = 0;   // Weights start uniform in [-max, max).
  float update_scale = 1;  // See UpdateArgs.
  float weight_max = 0;    // See UpdateArgs; infinity: not clipped.
  float weight_decay = 0;

  // R or SR: the weights stay on the grid; see training_rule.h.
  Quantize::Rule rule = Quantize::BC;
  WeightGrid grid;
  // Places of a filter over which CenterChannels works; 0: it does not.
  uint64_t center_positions = 0;
};

struct Plan {
  ModelSpec model;
  uint32_t workers = 1;
  // Every round waits for all workers: what is sent for one has arrived before
  // anything for the next is.
  bool lockstep = true;
  // The step from which on the codecs are in use (compress.auto.choices): in it
  // nothing is known of scales and factors of the steps before.
  uint64_t codec_since = 0;
  std::vector<TensorPlan> tensors;  // As model.tensors.
  // Parameters, then buffers; each by tensor, then by first_index.
  std::vector<BlockSpec> blocks;

  uint64_t ParameterCount() const;  // Without buffers.
  bool IsBuffer(uint32_t tensor) const {
    return model.tensors[tensor].role == TensorSpec::Role::kBuffer;
  }
  // Of a frame that carries the block: the first layers' go first, and all
  // behind control messages. Equal for all where frames of two steps may meet.
  uint32_t UrgencyOf(uint32_t block) const {
    return lockstep ? 1 + blocks[block].tensor : 0;
  }

  // Blocks of parameters (or of buffers) that `shard` holds, in block order.
  std::vector<uint32_t> BlocksOf(uint32_t shard, bool buffers) const;
};

// Errors: InvalidArgument (exit code 78).
absl::StatusOr<Plan> MakePlan(const Job& job);

// The scale that workers share before any was agreed: the given one, or 0.
inline float InitialScale(const TensorPlan& tensor) {
  if (tensor.level_codec == nullptr) return 0;
  return tensor.level_codec->sum_options().given_scale.value_or(0.0f);
}

// Share of the tensor's elements that is sent in an epoch, for
// EncodeArgs::ratio.
inline float SparseRatio(const TensorPlan& tensor, uint64_t epoch) {
  return epoch < tensor.warmup_ratios.size() ? tensor.warmup_ratios[epoch] : 0;
}

// What a sum of the block's gradients is made with and read with.
// Requires: not a buffer.
SumContext SumContextOf(const Plan& plan, uint32_t block);

// How the block's weights are updated in step `step` of steps_total, the mean
// gradient times `gradient_scale` for its norm: the same at servers and
// replicas.
UpdateArgs UpdateArgsOf(const Job& job, const TensorPlan& tensor, uint64_t step,
                        float learning_rate, float gradient_scale);

// The initial values of a block: a function of (seed, tensor, element).
void InitializeBlock(const Plan& plan, uint32_t block, uint64_t seed,
                     std::span<float> values);

// Of the draws that make right factors of a low-rank block; see WarmStart.
uint64_t WarmStartKey(uint64_t seed, uint32_t block);

// Whether `name` matches the glob `pattern` (* any run of characters, ? one).
bool GlobMatches(std::string_view pattern, std::string_view name);

}  // namespace terse

#endif  // TERSE_COMMON_PLAN_PLAN_H_
