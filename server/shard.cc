#include "server/shard.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/checkpoint/members.h"
#include "common/config/job.h"
#include "common/observe/observation.h"
#include "common/optimizer/schedule.h"

namespace terse {
namespace {

using wire::BlockStatistics;

uint32_t RoundCount(const Job& job) {
  return job.cluster().mode() == Cluster::BSP ? 1 : job.cluster().workers();
}

// Who comes back has missed the last version at most, and what is being made.
// The shards of a job are up to one version apart, and so is a shard from what
// it told who takes a rank: what the lost process had sent may end a step more.
uint32_t VersionsKept(const Job& job, const Plan& plan) {
  if (!OutlivesWorkers(job)) return 0;
  return ServerCount(job) > 1 || TakesReplacements(job, plan) ? 3 : 2;
}

}  // namespace

absl::Status CheckMode(const Job& job, const Plan& plan) {
  TERSE_RETURN_IF_ERROR(CheckWorkerLoss(job, plan));
  if (job.cluster().mode() == Cluster::BSP || ServerCount(job) == 1) {
    return absl::OkStatus();
  }
  std::string needs;
  if (job.clip().global_norm() > 0) needs = "clip.global_norm";
  for (size_t t = 0; t < plan.tensors.size(); ++t) {
    const WeightQuantizer* quantizer = plan.tensors[t].quantizer.get();
    if (quantizer != nullptr &&
        (quantizer->NeedsWeightStats() || quantizer->NeedsGradientStats())) {
      needs = absl::StrCat("quantizer ", quantizer->Describe(), " of ",
                           plan.model.tensors[t].name);
    }
  }
  if (needs.empty()) return absl::OkStatus();
  return WithExitCode(
      absl::InvalidArgumentError(absl::StrCat(
          needs, " needs statistics of one step over all servers: use ",
          "cluster.mode: bsp or cluster.servers: 1")),
      ExitCode::kBadJob);
}

Shard::Shard(const Job& job, const Plan& plan, uint32_t index,
             ShardOutput output)
    : job_(job),
      plan_(plan),
      index_(index),
      output_(std::move(output)),
      round_options_(MakeRoundOptions(job)),
      store_(job, plan, index),
      updates_(store_.blocks().size()),
      rounds_(RoundCount(job)),
      held_blocks_(plan.tensors.size()),
      weight_stats_(plan.tensors.size()),
      clocks_(job.cluster().workers()),
      attendance_(job.cluster().workers(), store_.blocks().size(),
                  ClosesIncomplete(job)),
      published_(VersionsKept(job, plan), store_.blocks().size()),
      buffer_means_(plan, attendance_, job.cluster().workers(),
                    [this](const Frame& mean) {
                      for (uint32_t w = 0; w < clocks_.size(); ++w) {
                        output_.send(w, mean);
                      }
                    }),
      last_statistics_(
          plan, index,
          SharesStatistics(job, plan) ? VersionsKept(job, plan) : 0),
      released_(job.cluster().workers()) {
  for (size_t place = 0; place < store_.blocks().size(); ++place) {
    const uint32_t block = store_.blocks()[place];
    places_[block] = place;
    ++held_blocks_[plan.blocks[block].tensor];
    scratch_.resize(
        std::max<size_t>(scratch_.size(), plan.blocks[block].count));
    // A block's mean gradient must be worth the update that the mirror makes.
    const bool low_rank =
        plan.tensors[plan.blocks[block].tensor].low_rank.any();
    mirrors_sum_.push_back(output_.mirror && !low_rank &&
                           TypicalSumBytes(SumContextOf(plan, block)) * 3 <=
                               MirroredFloats(job, plan, block) *
                                   sizeof(float) * 2);
  }
  for (Round& round : rounds_) round.blocks.resize(store_.blocks().size());
}

bool Shard::NeedsWeightStats(uint32_t tensor) const {
  const WeightQuantizer* quantizer = plan_.tensors[tensor].quantizer.get();
  return quantizer != nullptr && quantizer->NeedsWeightStats();
}

void Shard::OpenRound(Round& round, uint64_t version) {
  round.version = version;
  round.blocks_done = 0;
  round.samples.assign(job_.cluster().workers(), 0);
  for (BlockRound& block : round.blocks) {
    block.phase = Phase::kCollecting;
    block.received = 0;
    block.payloads.assign(job_.cluster().workers(), std::nullopt);
    block.basis.reset();
    block.early_factors.clear();
  }
  merged_.clear();
  if (bsp()) published_.Open(version);
}

void Shard::Start(const Timeline& timeline) {
  TERSE_CHECK(!started_);
  timeline_ = timeline;
  started_ = true;
  PublishFirst(0);
}

absl::Status Shard::OnStepReport(absl::Time now, uint32_t worker, uint64_t step,
                                 const wire::StepReport& report) {
  Round& round = RoundOf(worker);
  if (!started_) return absl::InvalidArgumentError("step before the start");
  if (step + 1 < round.version) return OnBegun(now, worker, step);
  if (step + 1 != round.version || step >= timeline_.steps_total) {
    return absl::InvalidArgumentError(
        absl::StrCat("report of step ", step, " while version ", round.version,
                     " is being made"));
  }
  if (report.samples() == 0 || report.samples() > job_.train().batch_size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("step ", step, " reports ", report.samples(), " samples"));
  }
  round.samples[worker] = static_cast<double>(report.samples());
  if (report.barrier() && !bsp()) barriers_.insert(round.version);
  return OnBegun(now, worker, step);
}

absl::Status Shard::Collect(absl::Time now, uint32_t worker, uint64_t step,
                            uint32_t block, Phase collected, Buffer payload) {
  const auto place = places_.find(block);
  if (place == places_.end()) {
    return absl::InvalidArgumentError(
        absl::StrCat("gradient of block ", block, " which is not held here"));
  }
  Round& round = RoundOf(worker);
  if (!started_ || step + 1 > round.version) {
    return absl::InvalidArgumentError(
        absl::StrCat("gradient of step ", step, " while version ",
                     round.version, " is being made"));
  }
  BlockRound& state = round.blocks[place->second];
  const bool low_rank =
      plan_.tensors[plan_.blocks[block].tensor].low_rank.any();
  if (collected == Phase::kCollectingFactors && low_rank && replicated() &&
      step + 1 == round.version && state.phase == Phase::kCollecting) {
    state.early_factors[worker] = std::move(payload);
    return absl::OkStatus();
  }
  if (collected == Phase::kCollectingFactors &&
      (!low_rank ||
       (step + 1 == round.version && state.phase == Phase::kCollecting))) {
    return absl::InvalidArgumentError(absl::StrCat(
        "factor of block ", block, " in step ", step, " without a basis"));
  }
  if (step + 1 < round.version || state.phase != collected ||
      state.payloads[worker].has_value()) {
    // Counted before, or late.
    if (attendance_.Note(place->second, worker, step)) {
      output_.send(worker, MakeFrame(wire::LATE, step, block, Buffer()));
    }
    return absl::OkStatus();
  }
  if (round.samples[worker] == 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "gradient of step ", step, " before the report of that step"));
  }
  if (plan_.tensors[plan_.blocks[block].tensor].level_codec != nullptr &&
      round.samples[worker] != job_.train().batch_size()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "gradient of ", round.samples[worker], " samples in place of ",
        job_.train().batch_size(), ": levels of a shared scale add up only if ",
        "all count as much"));
  }
  using Part = BlockStore::Part;
  const Part part = !low_rank                         ? Part::kGradient
                    : collected == Phase::kCollecting ? Part::kLeftFactor
                                                      : Part::kRightFactor;
  TERSE_RETURN_IF_ERROR(store_.Validate(block, part, payload));
  if (state.received == 0) state.opened = now;
  state.payloads[worker] = std::move(payload);
  ++state.received;
  attendance_.Note(place->second, worker, step);
  return CloseIfDecided(now, bsp() ? 0 : worker, place->second);
}

absl::Status Shard::CloseIfDecided(absl::Time now, uint32_t r, size_t place) {
  Round& round = rounds_[r];
  const BlockRound& state = round.blocks[place];
  if (state.received == 0 || (state.phase != Phase::kCollecting &&
                              state.phase != Phase::kCollectingFactors)) {
    return failure_;
  }
  const RoundDecision decision =
      DecideRound(now,
                  attendance_.StateOf(round.version - 1, state.opened,
                                      state.received, state.payloads),
                  round_options_);
  if (decision.action != RoundAction::kClose) return failure_;
  const uint32_t tensor = plan_.blocks[store_.blocks()[place]].tensor;
  if (plan_.tensors[tensor].low_rank.any() &&
      state.phase == Phase::kCollecting) {
    SendBasis(round, place);
    return TakeEarlyFactors(now, place);
  }
  Aggregate(r, place);
  return failure_;
}

std::vector<Contribution> Shard::TakeContributions(Round& round,
                                                   BlockRound& state) {
  double samples_total = 0;
  for (uint32_t w = 0; w < state.payloads.size(); ++w) {
    if (state.payloads[w]) samples_total += round.samples[w];
  }
  std::vector<Contribution> contributions;
  for (uint32_t w = 0; w < state.payloads.size(); ++w) {
    if (!state.payloads[w]) continue;
    contributions.push_back(
        {*std::move(state.payloads[w]), round.samples[w] / samples_total});
    state.payloads[w].reset();
  }
  return contributions;
}

void Shard::SendBasis(Round& round, size_t place) {
  BlockRound& state = round.blocks[place];
  const uint32_t block = store_.blocks()[place];
  const std::vector<Contribution> lefts = TakeContributions(round, state);
  state.phase = Phase::kCollectingFactors;
  state.received = 0;
  Frame frame = MakeFrame(wire::BASIS, round.version - 1, block,
                          store_.MakeBasis(block, lefts));
  frame.urgency = plan_.UrgencyOf(block);
  state.basis = frame;
  for (uint32_t w = 0; w < clocks_.size(); ++w) output_.send(w, frame);
}

void Shard::Aggregate(uint32_t r, size_t place) {
  Round& round = rounds_[r];
  BlockRound& state = round.blocks[place];
  const uint32_t block = store_.blocks()[place];
  const uint32_t tensor = plan_.blocks[block].tensor;
  const WeightQuantizer* quantizer = plan_.tensors[tensor].quantizer.get();
  const bool stats = quantizer != nullptr && quantizer->NeedsGradientStats();

  const std::vector<Contribution> contributions =
      TakeContributions(round, state);
  std::span<float> gradient(scratch_.data(), plan_.blocks[block].count);
  if (stats || job_.clip().global_norm() > 0) {
    state.gradient.resize(gradient.size());
    gradient = state.gradient;
  }
  state.sum = store_.Aggregate(block, round.version - 1, contributions,
                               gradient, mirrors_sum_[place]);
  if (!stats) {
    ApplyChainRule(r, place, {}, gradient);
    return;
  }
  state.phase = Phase::kGradientStats;
  if (!bsp() && NeedsWeightStats(tensor)) {
    weight_stats_[tensor] = LocalWeightStats(tensor);
  }
  Reduce(BlockStatistics::GRADIENT_STATS, r, place,
         store_.GradientStats(block, gradient, weight_stats_[tensor]));
}

void Shard::ApplyChainRule(uint32_t r, size_t place,
                           const TensorStats& gradient_stats,
                           std::span<float> gradient) {
  const uint32_t block = store_.blocks()[place];
  const uint32_t tensor = plan_.blocks[block].tensor;
  if (!bsp() && NeedsWeightStats(tensor)) {
    weight_stats_[tensor] = LocalWeightStats(tensor);
  }
  store_.ChainRule(block, weight_stats_[tensor], gradient_stats, gradient);
  if (job_.clip().global_norm() <= 0) {
    Update(r, place, 1, gradient);
    return;
  }
  rounds_[r].blocks[place].phase = Phase::kNorm;
  Reduce(BlockStatistics::GRADIENT_NORM, r, place,
         {.sum = store_.SquareSum(gradient), .count = gradient.size()});
}

void Shard::Update(uint32_t r, size_t place, float gradient_scale,
                   std::span<const float> gradient) {
  const uint32_t block = store_.blocks()[place];
  Buffer& sum = rounds_[r].blocks[place].sum;
  if (!sum.empty()) FinishSum(gradient_scale, store_.SharedScale(block), sum);
  failure_.Update(store_.Update(block, updates_[place]++,
                                LearningRateOf(rounds_[r]), gradient_scale,
                                gradient));
  FinishBlock(r, place);
}

float Shard::LearningRateOf(const Round& round) const {
  return LearningRate(job_.optimizer(), round.version - 1,
                      timeline_.steps_total, timeline_.steps_per_epoch);
}

void Shard::FinishBlock(uint32_t r, size_t place) {
  BlockRound& state = rounds_[r].blocks[place];
  const uint32_t block = store_.blocks()[place];
  if (bsp() && NeedsWeightStats(plan_.blocks[block].tensor) &&
      state.phase != Phase::kWeightStats) {
    state.phase = Phase::kWeightStats;
    Reduce(BlockStatistics::WEIGHT_STATS, r, place, store_.WeightStats(block));
    return;
  }
  if (bsp() && output_.mirror) {
    state.phase = Phase::kMirroring;
    output_.mirror(block);
    return;
  }
  Publish(r, place);
}

void Shard::Publish(uint32_t r, size_t place) {
  BlockRound& state = rounds_[r].blocks[place];
  const uint32_t block = store_.blocks()[place];
  state.phase = Phase::kDone;
  if (bsp()) {
    std::vector<Frame> frames = WeightFrames(
        block, rounds_[r].version,
        plan_.tensors[plan_.blocks[block].tensor].sum_down ? state.sum
                                                           : Buffer());
    for (const Frame& frame : frames) {
      for (uint32_t w = 0; w < clocks_.size(); ++w) output_.send(w, frame);
    }
    published_.Add(rounds_[r].version, place, std::move(frames));
    state.sum = {};
  }
  if (++rounds_[r].blocks_done == rounds_[r].blocks.size()) FinishRound(r);
}

void Shard::FinishRound(uint32_t r) {
  const uint64_t version = rounds_[r].version;
  if (r == 0 && version > 0 && timeline_.ObservesStep(version - 1)) {
    Observe(version - 1);
  }
  OpenRound(rounds_[r], version + 1);
  if (bsp()) {
    std::fill(clocks_.begin(), clocks_.end(), version);
    if (output_.opened) output_.opened(version + 1);
    return;
  }
  clocks_[r] = version;
  Release();
}

void Shard::Observe(uint64_t step) const {
  if (!output_.observe) return;
  wire::Observation observation;
  for (const uint32_t block : store_.blocks()) {
    const uint32_t tensor = plan_.blocks[block].tensor;
    if (block != plan_.tensors[tensor].first_block ||
        !IsObserved(plan_, tensor)) {
      continue;
    }
    wire::TensorObservation& seen = *observation.add_tensors();
    seen.set_tensor(tensor);
    *seen.mutable_shadow_weights() = Summarize(store_.Weights(block));
  }
  if (observation.tensors_size() > 0) output_.observe(step, observation);
}

TensorStats Shard::LocalWeightStats(uint32_t tensor) const {
  const TensorPlan& plan = plan_.tensors[tensor];
  TensorStats merged;
  for (uint32_t i = 0; i < plan.block_count; ++i) {
    merged.Merge(store_.WeightStats(plan.first_block + i));
  }
  return merged;
}

std::vector<Frame> Shard::WeightFrames(uint32_t block, uint64_t version,
                                       const Buffer& sum) const {
  const uint32_t tensor = plan_.blocks[block].tensor;
  std::vector<Frame> frames;
  frames.push_back(sum.empty()
                       ? MakeFrame(wire::WEIGHTS, version, block,
                                   store_.EncodeWeights(block, version,
                                                        weight_stats_[tensor]))
                       : MakeFrame(wire::SUMS, version, block, sum));
  const WeightQuantizer* quantizer = plan_.tensors[tensor].quantizer.get();
  if (sum.empty() && quantizer != nullptr && quantizer->EvaluatesWithShadow() &&
      timeline_.EvaluatesAt(version)) {
    frames.push_back(
        MakeFrame(wire::EVALUATION_WEIGHTS, version, block,
                  Buffer::CopyOf(std::as_bytes(store_.Weights(block)))));
  }
  for (Frame& frame : frames) frame.urgency = plan_.UrgencyOf(block);
  return frames;
}

}  // namespace terse
