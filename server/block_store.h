// The blocks one shard holds: shadow weights and optimizer state, and what is
// done to them. Knows nothing of rounds, peers and time.
#ifndef TERSE_SERVER_BLOCK_STORE_H_
#define TERSE_SERVER_BLOCK_STORE_H_

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "common/base/buffer.h"
#include "common/base/sha256.h"
#include "common/checkpoint/saved_state.h"
#include "common/optimizer/optimizer.h"
#include "common/plan/plan.h"
#include "proto/wire.pb.h"

namespace terse {

class BlockStore {
 public:
  // The initial weights of the parameter blocks that `shard` holds. `job` and
  // `plan` must outlive the store.
  BlockStore(const Job& job, const Plan& plan, uint32_t shard);

  // Parameter blocks held here, ascending.
  const std::vector<uint32_t>& blocks() const { return ids_; }
  bool Holds(uint32_t block) const { return places_.contains(block); }

  std::span<const float> Weights(uint32_t block) const;
  std::span<float> MutableWeights(uint32_t block);
  // One span for each of OptimizerStateNames.
  std::vector<std::span<float>> State(uint32_t block);
  std::vector<std::span<const float>> State(uint32_t block) const;
  // The learned scales of a tensor of which a block lies here; empty: none.
  std::span<const float> LearnedScales(uint32_t tensor) const;

  // What a worker sends of a block in a step: its gradient, or its factors.
  enum class Part { kGradient, kLeftFactor, kRightFactor };

  // Errors: as Codec::Validate.
  absl::Status Validate(uint32_t block, Part part, const Buffer& payload) const;

  // The first exchange of a low-rank block: makes the weighted mean of the left
  // factors, added in their order, the basis of the step and returns it.
  Buffer MakeBasis(uint32_t block, std::span<const Contribution> contributions);

  // Writes the weighted sum of the contributions to step `step`, added in their
  // order (as integers where their scale is shared), and agrees on the scale of
  // the next step. Returns the sum's message where that comes down, or `sums`
  // and the block has no factors, else nothing. Contributions to a low-rank
  // block are right factors. Requires: every payload is valid; gradient.size()
  // == the block's count. If the scale is shared: a contribution of every
  // worker, of equal weights.
  Buffer Aggregate(uint32_t block, uint64_t step,
                   std::span<const Contribution> contributions,
                   std::span<float> gradient, bool sums = false);

  // Parts of the tensor's statistics; see WeightQuantizer. Those of a gradient
  // belong to the learned scales that the forward pass used.
  TensorStats WeightStats(uint32_t block) const;
  TensorStats GradientStats(uint32_t block, std::span<const float> gradient,
                            const TensorStats& weight_stats) const;

  // One step of the optimizer for the learned scales of `tensor`, of which a
  // block must lie here. Every shard that holds one does the same step.
  // Clipping by value applies, the global norm does not: it is not known yet.
  void UpdateLearned(uint32_t tensor, const TensorStats& gradient_stats,
                     float learning_rate);

  // Carries the gradient from the quantized weights to the shadow weights.
  // Learned scales are taken from before their last update.
  void ChainRule(uint32_t block, const TensorStats& weight_stats,
                 const TensorStats& gradient_stats,
                 std::span<float> gradient) const;

  // The block's part of the square of the global norm.
  double SquareSum(std::span<const float> gradient) const;

  // The optimizer's update, then centring, clipping and the training rule.
  // Errors: InvalidArgument: a quantized weight is no number any more, which
  // its code might hide.
  absl::Status Update(uint32_t block, uint64_t step, float learning_rate,
                      float gradient_scale, std::span<const float> gradient);

  // What travels down: codes, or fp32; behind them the next step's scale if it
  // is shared, or the right factor that it starts from.
  Buffer EncodeWeights(uint32_t block, uint64_t version,
                       const TensorStats& weight_stats) const;

  // The scale all workers take in the next step; 0 where they take their own.
  float SharedScale(uint32_t block) const {
    return places_.at(block).shared_scale;
  }

  void SetSharedScale(uint32_t block, float scale) {
    places_.at(block).shared_scale = scale;
  }

  // The right factor that workers start the next step from; empty: none.
  std::span<float> RightFactor(uint32_t block) {
    return places_.at(block).right_factor;
  }

  // Everything that a store of the same job goes on from, for checkpoints.
  std::vector<SavedTensor> Save() const;
  // Takes it from a checkpoint, of any number of servers.
  // Errors: as SavedState::Read; the store means nothing after one.
  absl::Status Restore(const SavedState& saved);

  // A block for a mirror, and back: the floats of server/mirror.h, and what
  // its tensor has learned. Requires: spans of that length.
  void CopyTo(uint32_t block, std::span<float> target) const;
  void CopyLearned(uint32_t tensor, wire::MirroredBlock& rest) const;
  void TakeFrom(uint32_t block, std::span<const float> source);
  void TakeLearned(uint32_t tensor, const wire::MirroredBlock& rest);

  // Of the weights; with them, in a tensor's first block, the learned scales.
  Sha256Digest Digest(uint32_t block) const;

 private:
  struct Place {
    size_t offset;  // Into every array below.
    size_t count;
    // Of the step to come; see LevelCodec. +0 at version 0.
    float shared_scale = 0;
    std::vector<float> basis;         // Of the step being made.
    std::vector<float> right_factor;  // Of the step to come.
  };

  // Scales that are trained with a tensor; each shard that holds a part of the
  // tensor has them all.
  struct Learned {
    std::vector<float> scales;
    std::vector<float> scales_before;  // The last update.
    std::vector<std::vector<float>> state;
    uint64_t updates = 0;
  };

  const TensorPlan& TensorOf(uint32_t block) const;
  Buffer AggregateFactors(uint32_t block,
                          std::span<const Contribution> contributions,
                          std::span<float> gradient);
  QuantizeArgs ArgsOf(uint32_t block, const TensorStats& weight_stats) const;

  const Job& job_;
  const Plan& plan_;
  std::vector<uint32_t> ids_;
  absl::flat_hash_map<uint32_t, Place> places_;
  std::vector<float> weights_;
  std::vector<std::vector<float>> state_;
  absl::flat_hash_map<uint32_t, Learned> learned_;  // By tensor.
};

}  // namespace terse

#endif  // TERSE_SERVER_BLOCK_STORE_H_
