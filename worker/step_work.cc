#include "worker/step_work.h"

#include <algorithm>
#include <chrono>
#include <limits>
#include <map>
#include <tuple>
#include <utility>

#include "common/base/random.h"
#include "common/base/status.h"
#include "common/config/job.h"
#include "common/cost/traffic.h"
#include "common/plan/plan.h"
#include "common/wire/messages.h"
#include "server/shard.h"
#include "worker/downlink.h"
#include "worker/replica.h"
#include "worker/uplink.h"

namespace terse {
namespace {

using std::chrono::steady_clock;

// Enough blocks of a kind to leave the nearest caches.
constexpr uint32_t kSampledBlocks = 4;
// Workers whose gradients are added, to tell adding from closing a round.
constexpr uint32_t kManyWorkers = 3;
// The first step, which agrees on scales, is not looked at.
constexpr uint64_t kSteps = 4;
constexpr size_t kGradientElements = size_t{1} << 20;
constexpr float kGradientDeviation = 0.01f;

double MillisecondsSince(steady_clock::time_point begin) {
  return std::chrono::duration<double, std::milli>(steady_clock::now() - begin)
      .count();
}

// About Gaussian, the same in every call.
std::vector<float> DrawGradient() {
  std::vector<float> values(kGradientElements);
  const uint64_t key = DrawKey(Draw::kGenerate, {1});
  for (size_t i = 0; i < values.size(); ++i) {
    float sum = -2;
    for (uint64_t k = 0; k < 4; ++k) sum += RandomUnit(key, 4 * i + k);
    values[i] = kGradientDeviation * sum * 1.7320508f;
  }
  return values;
}

// A plan of some blocks of one tensor of each kind, all on shard 0.
struct Sample {
  Plan plan;
  std::vector<double> shares;  // By tensor: elements it stands for / its own.
};

Sample SampleOf(const Plan& plan) {
  // Tensors that are treated alike, by what treats them.
  std::map<std::tuple<const void*, const void*, bool, bool, size_t>,
           std::vector<uint32_t>>
      kinds;
  for (uint32_t t = 0; t < plan.tensors.size(); ++t) {
    if (plan.IsBuffer(t)) continue;
    const TensorPlan& tensor = plan.tensors[t];
    const size_t apart = tensor.low_rank.any() ? t + 1 : 0;
    kinds[{tensor.codec.get(), tensor.quantizer.get(), tensor.sum_down,
           tensor.error_feedback, apart}]
        .push_back(t);
  }
  Sample sample = {
      .plan = {.workers = plan.workers, .lockstep = plan.lockstep}};
  sample.plan.model = {.input = plan.model.input,
                       .classes = plan.model.classes};
  for (const auto& [kind, tensors] : kinds) {
    const auto elements = [&](uint32_t t) {
      return ElementCount(plan.model.tensors[t].shape);
    };
    const uint32_t largest = *std::max_element(
        tensors.begin(), tensors.end(),
        [&](uint32_t a, uint32_t b) { return elements(a) < elements(b); });
    uint64_t all = 0;
    for (const uint32_t t : tensors) all += elements(t);
    TensorPlan tensor = plan.tensors[largest];
    const bool whole = tensor.codec->ScansTensor();
    const auto index = static_cast<uint32_t>(sample.plan.tensors.size());
    const uint32_t first = tensor.first_block;
    tensor.first_block = static_cast<uint32_t>(sample.plan.blocks.size());
    if (!whole)
      tensor.block_count = std::min(tensor.block_count, kSampledBlocks);
    uint64_t taken = 0;
    for (uint32_t b = 0; b < tensor.block_count; ++b) {
      BlockSpec block = plan.blocks[first + b];
      block.tensor = index;
      block.shard = 0;
      taken += block.count;
      sample.plan.blocks.push_back(block);
    }
    TensorSpec spec = plan.model.tensors[largest];
    spec.shape = {taken};
    sample.plan.model.tensors.push_back(std::move(spec));
    sample.plan.tensors.push_back(std::move(tensor));
    sample.shares.push_back(static_cast<double>(all) /
                            static_cast<double>(taken));
  }
  return sample;
}

// Steps of `workers` workers and a shard without anything between them.
class Rehearsal {
 public:
  Rehearsal(const Job& job, const Sample& sample,
            const std::vector<float>& gradient)
      : job_(job),
        sample_(sample),
        plan_(sample.plan),
        gradient_(gradient),
        shard_(job, plan_, 0,
               {.send =
                    [this](uint32_t worker, Frame frame) {
                      if (worker == 0) down_.push_back(std::move(frame));
                    },
                .reduce = [](uint64_t, const wire::BlockStatistics&) {}}),
        replica_(job, plan_) {
    for (uint32_t w = 0; w < job.cluster().workers(); ++w) {
      uplinks_.push_back(std::make_unique<Uplink>(
          plan_, job.seed(), w, job.cluster().threads_per_worker(),
          [this, w](uint32_t, Frame frame) {
            up_[w].push_back(std::move(frame));
            return absl::OkStatus();
          }));
    }
    up_.resize(uplinks_.size());
    size_t longest = 0;
    for (const TensorSpec& tensor : plan_.model.tensors) {
      values_.emplace_back(ElementCount(tensor.shape));
      longest = std::max(longest, values_.back().size());
    }
    for (size_t i = 0; whole_.size() < longest; ++i) {
      whole_.push_back(gradient_[i % gradient_.size()]);
    }
  }

  // Milliseconds of the whole tensors, the least over the steps.
  struct Times {
    double encode = std::numeric_limits<double>::infinity();
    double server = std::numeric_limits<double>::infinity();
    double decode = std::numeric_limits<double>::infinity();
  };

  absl::StatusOr<Times> Run() {
    const Timeline timeline = {.steps_total = kSteps + 1};
    shard_.Start(timeline);
    TERSE_RETURN_IF_ERROR(TakeDown());
    Times least;
    for (uint64_t step = 0; step < kSteps; ++step) {
      Times times = {0, 0, 0};
      wire::StepReport report;
      report.set_samples(job_.train().batch_size());
      for (uint32_t w = 0; w < uplinks_.size(); ++w) {
        TERSE_RETURN_IF_ERROR(
            shard_.OnStepReport(absl::Time(), w, step, report));
      }
      for (uint32_t t = 0; t < plan_.tensors.size(); ++t) {
        TERSE_RETURN_IF_ERROR(RunTensor(step, t, times));
      }
      if (step == 0) continue;
      least.encode = std::min(least.encode, times.encode);
      least.server = std::min(least.server, times.server);
      least.decode = std::min(least.decode, times.decode);
    }
    return least;
  }

 private:
  absl::Status RunTensor(uint64_t step, uint32_t tensor, Times& times) {
    const double share = sample_.shares[tensor];
    const std::span<const float> gradient =
        std::span(whole_).first(values_[tensor].size());
    for (uint32_t w = 0; w < uplinks_.size(); ++w) {
      const auto begin = steady_clock::now();
      TERSE_RETURN_IF_ERROR(uplinks_[w]->Push(step, tensor, gradient));
      if (w == 0) times.encode += share * MillisecondsSince(begin);
    }
    TERSE_RETURN_IF_ERROR(TakeUp(share, times));
    if (plan_.tensors[tensor].low_rank.any()) {
      const Frame basis = down_.front();
      down_.clear();
      for (uint32_t w = 0; w < uplinks_.size(); ++w) {
        const auto begin = steady_clock::now();
        TERSE_RETURN_IF_ERROR(
            uplinks_[w]->PushFactor(step, basis.block, basis.payload.bytes()));
        if (w == 0) times.encode += share * MillisecondsSince(begin);
      }
      TERSE_RETURN_IF_ERROR(TakeUp(share, times));
    }
    const auto begin = steady_clock::now();
    TERSE_RETURN_IF_ERROR(TakeDown());
    times.decode += share * MillisecondsSince(begin);
    return absl::OkStatus();
  }

  // The shard takes what the workers have sent, block after block.
  absl::Status TakeUp(double share, Times& times) {
    const auto begin = steady_clock::now();
    for (size_t i = 0; i < up_[0].size(); ++i) {
      for (uint32_t w = 0; w < up_.size(); ++w) {
        Frame& frame = up_[w][i];
        TERSE_RETURN_IF_ERROR(
            frame.type == wire::FACTOR
                ? shard_.OnFactor(absl::Time(), w, frame.step, frame.block,
                                  std::move(frame.payload))
                : shard_.OnGradient(absl::Time(), w, frame.step, frame.block,
                                    std::move(frame.payload)));
      }
    }
    times.server += share * MillisecondsSince(begin);
    for (std::vector<Frame>& frames : up_) frames.clear();
    return absl::OkStatus();
  }

  // Worker 0 takes what comes down, as its session would.
  absl::Status TakeDown() {
    for (const Frame& frame : std::exchange(down_, {})) {
      const uint32_t tensor = plan_.blocks[frame.block].tensor;
      float scale = 0;
      std::vector<float> right;
      if (frame.type == wire::WEIGHTS) {
        Buffer payload = frame.payload;
        TERSE_ASSIGN_OR_RETURN(scale,
                               TakeSharedScale(plan_, frame.block, payload));
        TERSE_ASSIGN_OR_RETURN(right,
                               TakeRightFactor(plan_, frame.block, payload));
        TERSE_RETURN_IF_ERROR(
            DecodeWeights(plan_, frame.block, payload, values_[tensor]));
      } else if (frame.type == wire::SUMS) {
        LowRankTensor* const low_rank = uplinks_[0]->LowRankOf(tensor);
        TERSE_RETURN_IF_ERROR(replica_.Decode(
            frame.block, uplinks_[0]->SharedScale(frame.block),
            low_rank != nullptr ? low_rank->basis() : std::span<const float>(),
            frame.payload.bytes()));
        scale = SumNextScale(frame.payload.bytes());
        if (low_rank != nullptr) {
          right = SumRightFactor(frame.payload.bytes());
          WarmStart(plan_.tensors[tensor].low_rank,
                    WarmStartKey(job_.seed(), frame.block), right);
        }
        replica_.Update(frame.block, frame.step - 1, 0.01f, values_[tensor]);
      }
      for (const std::unique_ptr<Uplink>& uplink : uplinks_) {
        uplink->SetSharedScale(frame.block, scale);
        if (!right.empty()) uplink->LowRankOf(tensor)->SetRight(right);
      }
    }
    return absl::OkStatus();
  }

  const Job& job_;
  const Sample& sample_;
  const Plan& plan_;
  const std::vector<float>& gradient_;
  std::vector<float> whole_;  // A gradient as long as the longest tensor.
  std::vector<Frame> down_;   // To worker 0.
  Shard shard_;
  Replica replica_;
  std::vector<std::unique_ptr<Uplink>> uplinks_;
  std::vector<std::vector<Frame>> up_;  // By worker.
  std::vector<std::vector<float>> values_;
};

absl::StatusOr<Rehearsal::Times> Rehearse(const Job& job, const Plan& real,
                                          uint32_t workers,
                                          const std::vector<float>& gradient) {
  Job fewer = job;
  fewer.mutable_cluster()->set_workers(workers);
  fewer.mutable_cluster()->set_servers(1);
  TERSE_ASSIGN_OR_RETURN(Plan plan, MakePlan(fewer));
  for (size_t t = 0; t < plan.tensors.size(); ++t) {
    plan.tensors[t].sum_down = real.tensors[t].sum_down;
  }
  const Sample sample = SampleOf(plan);
  return Rehearsal(fewer, sample, gradient).Run();
}

}  // namespace

absl::StatusOr<StepWork> MeasureStepWork(const Job& job) {
  TERSE_ASSIGN_OR_RETURN(const Plan plan, MakePlan(job));
  const std::vector<float> gradient = DrawGradient();
  TERSE_ASSIGN_OR_RETURN(const Rehearsal::Times one,
                         Rehearse(job, plan, 1, gradient));
  TERSE_ASSIGN_OR_RETURN(const Rehearsal::Times many,
                         Rehearse(job, plan, kManyWorkers, gradient));
  const Traffic traffic = PlanTraffic(plan);
  StepWork work = {.encode_ms = std::min(one.encode, many.encode),
                   .decode_ms = std::min(one.decode, many.decode),
                   .bytes_up = traffic.bytes_up(),
                   .bytes_down = traffic.bytes_down(),
                   .shares = TensorShares(plan)};
  work.add_ms = std::max(0.0, (many.server - one.server) / (kManyWorkers - 1));
  work.close_ms = std::max(0.0, one.server - work.add_ms);
  work.blocks = 0;
  for (const BlockSpec& block : plan.blocks) {
    work.blocks += plan.IsBuffer(block.tensor) ? 0 : 1;
    const bool low_rank = plan.tensors[block.tensor].low_rank.any();
    work.two_exchanges = work.two_exchanges || low_rank;
  }
  return work;
}

}  // namespace terse
