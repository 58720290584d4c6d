// One shard's part of a job: takes gradients of its blocks, closes rounds,
// updates, publishes. A state machine without clock, thread or socket: what
// happens is what it is told, what it does goes through ShardOutput.
#ifndef TERSE_SERVER_SHARD_H_
#define TERSE_SERVER_SHARD_H_

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "common/frame/frame.h"
#include "common/plan/plan.h"
#include "common/plan/timeline.h"
#include "server/attendance.h"
#include "server/block_store.h"
#include "server/buffer_means.h"
#include "server/last_statistics.h"
#include "server/mirror.h"
#include "server/published.h"
#include "server/reduction.h"
#include "server/round.h"
#include "server/shard_output.h"
#include "server/shard_round.h"

namespace terse {

// Whether the job's mode can do what its clipping and quantizers need.
// Errors: InvalidArgument (exit code 78).
absl::Status CheckMode(const Job& job, const Plan& plan);

class Shard {
 public:
  // `job` and `plan` must outlive the shard.
  Shard(const Job& job, const Plan& plan, uint32_t index, ShardOutput output);

  // Publishes version 0 to every worker.
  void Start(const Timeline& timeline);

  // In place of Start: goes on from a checkpoint, which every worker is sent
  // with what it kept.
  // Errors: as SavedState::Read; the shard means nothing after one.
  absl::Status Resume(const Timeline& timeline, const SavedState& saved);

  // What worker `worker` sends. A push that was counted before is dropped.
  // Errors: InvalidArgument, DataLoss: the peer is broken; nothing was changed.
  absl::Status OnStepReport(absl::Time now, uint32_t worker, uint64_t step,
                            const wire::StepReport& report);
  absl::Status OnGradient(absl::Time now, uint32_t worker, uint64_t step,
                          uint32_t block, Buffer payload) {
    return Collect(now, worker, step, block, Phase::kCollecting,
                   std::move(payload));
  }
  // A low-rank block's right factor, the second exchange of the step; its
  // gradient was the left one.
  absl::Status OnFactor(absl::Time now, uint32_t worker, uint64_t step,
                        uint32_t block, Buffer payload) {
    return Collect(now, worker, step, block, Phase::kCollectingFactors,
                   std::move(payload));
  }
  absl::Status OnBuffers(uint32_t worker, uint64_t version, uint32_t block,
                         Buffer payload);
  absl::Status OnStatistics(uint32_t worker, uint64_t version, uint32_t block,
                            Buffer payload);

  // BSP rounds close without `worker` from now on, or wait for it again; see
  // shard_members.cc.
  absl::Status Leave(absl::Time now, uint32_t worker);
  void Return(uint32_t worker);

  // Sends `worker` again what has been published from `version` on; BSP only.
  // Errors: InvalidArgument (it is too old, or not there yet).
  absl::Status SendPublished(uint32_t worker, uint64_t version) const;
  // And, for a new process, the statistics that its rank had in `version`.
  absl::Status SendStatistics(uint32_t worker, uint64_t version) const;

  // What the block's mirror is sent; nothing while its next version is made
  // with statistics that are on their way: it is sent behind them.
  // A mirror that has version `before` may be sent what made the next one.
  std::optional<Frame> MirrorFrame(
      uint32_t block, std::optional<uint64_t> before = std::nullopt) const;
  // The mirror has it.
  absl::Status OnMirrored(uint64_t version, uint32_t block);
  // In place of Start: goes on with what the mirror of a lost process kept.
  // Errors: DataLoss (it does not fit together).
  absl::Status Restore(const Timeline& timeline, const Mirror& mirror);

  // The merged statistics of `step`.
  absl::Status OnReduced(uint64_t step, const wire::BlockStatistics& merged);

  // Steps of `worker` that this shard has applied.
  uint64_t clock(uint32_t worker) const { return clocks_[worker]; }
  const BlockStore& store() const { return store_; }
  // The last version that all of this shard's blocks have come to.
  uint64_t version() const;

 private:
  using Phase = BlockPhase;
  using Round = ShardRound;
  // Identifies a reduction; `round` tells the workers' rounds apart.
  using ReductionKey = std::tuple<StatisticsKind, uint32_t, uint32_t>;

  absl::Status SendKept(const SavedState& saved) const;
  // Makes `version` the one that is published.
  void PublishFirst(uint64_t version);

  float LearningRateOf(const Round& round) const;
  bool bsp() const { return job_.cluster().mode() == Cluster::BSP; }
  Round& RoundOf(uint32_t worker) { return rounds_[bsp() ? 0 : worker]; }
  void OpenRound(Round& round, uint64_t version);

  // Takes a part of a block's round that is `collected` in.
  absl::Status Collect(absl::Time now, uint32_t worker, uint64_t step,
                       uint32_t block, Phase collected, Buffer payload);
  // Closes the round of the block at `place` if it may.
  absl::Status CloseIfDecided(absl::Time now, uint32_t round, size_t place);
  // `worker` computes `step`, for which rounds may have waited.
  absl::Status OnBegun(absl::Time now, uint32_t worker, uint64_t step);
  absl::Status CloseDecided(absl::Time now);
  // The parts that have come, in the workers' order, with their shares.
  std::vector<Contribution> TakeContributions(Round& round, BlockRound& state);
  void SendBasis(Round& round, size_t place);
  absl::Status TakeEarlyFactors(absl::Time now, size_t place);

  // The way of a block through its round, in this order; each calls the next,
  // or waits for statistics first. `round` indexes rounds_, `place` the store's
  // blocks.
  void Aggregate(uint32_t round, size_t place);
  void ApplyChainRule(uint32_t round, size_t place,
                      const TensorStats& gradient_stats,
                      std::span<float> gradient);
  void Update(uint32_t round, size_t place, float gradient_scale,
              std::span<const float> gradient);
  void FinishBlock(uint32_t round, size_t place);
  void Publish(uint32_t round, size_t place);
  void FinishRound(uint32_t round);
  void Observe(uint64_t step) const;

  // Adds a block's part; when this shard's part is complete, resolves it here
  // or asks the coordinator.
  void Reduce(StatisticsKind kind, uint32_t round, size_t place,
              const TensorStats& stats);
  void Resolve(StatisticsKind kind, uint32_t tensor, uint32_t round,
               const TensorStats& merged);
  bool replicated() const { return job_.cluster().replicas() > 0; }
  // Blocks of `scope` here that have left statistics behind in this round.
  size_t CountDone(const ReductionScope& scope) const;
  void RestoreBlock(size_t place, const Mirror& mirror, bool newest);

  // The frames that carry a block: its weights (or the `sum` that made them, if
  // there is one), and before an evaluation that needs them the shadow weights.
  std::vector<Frame> WeightFrames(uint32_t block, uint64_t version,
                                  const Buffer& sum = {}) const;
  // SSP and async, see shard_clocks.cc: begins, and sends the weights to the
  // workers that may go on.
  void BeginClocks(uint64_t version);
  void Release();
  void ReleaseTo(uint32_t worker);
  TensorStats LocalWeightStats(uint32_t tensor) const;
  bool NeedsWeightStats(uint32_t tensor) const;

  const Job& job_;
  const Plan& plan_;
  const uint32_t index_;
  const ShardOutput output_;
  const RoundOptions round_options_;
  BlockStore store_;
  Timeline timeline_;
  bool started_ = false;
  absl::flat_hash_map<uint32_t, size_t> places_;  // Block to store_.blocks().
  std::vector<float> scratch_;                    // One block's gradient.
  std::vector<uint64_t> updates_;  // By place: how many were applied.
  std::vector<bool> mirrors_sum_;  // By place: that is shorter than the state.
  absl::Status failure_;           // Of an update; ends the job.

  std::vector<Round> rounds_;
  std::map<ReductionKey, Reduction> reductions_;
  // Of a shard with a mirror: what the round's reductions came to.
  std::map<std::pair<StatisticsKind, uint32_t>, TensorStats> merged_;
  std::vector<size_t> held_blocks_;        // By tensor: how many lie here.
  std::vector<TensorStats> weight_stats_;  // By tensor, of the last version.
  std::vector<uint64_t> clocks_;           // By worker.
  Attendance attendance_;
  Published published_;
  BufferMeans buffer_means_;
  LastStatistics last_statistics_;
  // SSP and async. By worker: versions sent; and those that wait for all.
  std::vector<uint64_t> released_;
  std::set<uint64_t> barriers_;
};

}  // namespace terse

#endif  // TERSE_SERVER_SHARD_H_
