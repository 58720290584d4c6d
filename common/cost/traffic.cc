#include "common/cost/traffic.h"

#include "common/checkpoint/members.h"
#include "common/frame/frame.h"
#include "common/optimizer/optimizer.h"
#include "proto/wire.pb.h"

namespace terse {
namespace {

void Add(const Traffic& part, Traffic& sum) {
  sum.payload_bytes_up += part.payload_bytes_up;
  sum.payload_bytes_down += part.payload_bytes_down;
  sum.frames += part.frames;
}

// What a layer keeps of a sample for backward.
uint64_t KeptElements(const LayerSpec& layer) {
  const uint64_t outputs = ElementCount(layer.output);
  if (layer.kind == LayerSpec::Kind::kLstm) {
    return 7 * outputs;  // Gates, cells, their tanh, states.
  }
  if (layer.kind == LayerSpec::Kind::kAttention) {
    const uint64_t positions = layer.output[0];
    // Queries, keys, values, what is read; scores and shares of all pairs.
    return 5 * outputs + 2 * layer.heads * positions * positions;
  }
  return outputs;
}

}  // namespace

uint64_t Traffic::bytes_up() const {
  return payload_bytes_up + frames * kFrameHeaderBytes;
}

uint64_t Traffic::bytes_down() const {
  return payload_bytes_down + frames * kFrameHeaderBytes;
}

Traffic BlockTraffic(const Plan& plan, uint32_t block) {
  const BlockSpec& spec = plan.blocks[block];
  if (plan.IsBuffer(spec.tensor)) return {};
  const TensorPlan& tensor = plan.tensors[spec.tensor];
  Traffic traffic = {
      .payload_bytes_up = tensor.codec->TypicalEncodedBytes(spec.count),
      .frames = 1};
  const LowRank& low_rank = tensor.low_rank;
  const uint64_t left_bytes = sizeof(float) * low_rank.left_elements();
  const uint64_t right_bytes = sizeof(float) * low_rank.right_elements();
  if (low_rank.any()) {
    traffic.payload_bytes_up = left_bytes + right_bytes;
    traffic.frames = 2;
  }
  if (tensor.sum_down) {
    traffic.payload_bytes_down =
        left_bytes + TypicalSumBytes(SumContextOf(plan, block));
    return traffic;
  }
  traffic.payload_bytes_down = tensor.quantizer == nullptr
                                   ? sizeof(float) * spec.count
                                   : tensor.quantizer->EncodedBytes(spec.count);
  traffic.payload_bytes_down += left_bytes + right_bytes;
  // The next step's scale.
  if (tensor.level_codec != nullptr) {
    traffic.payload_bytes_down += sizeof(float);
  }
  return traffic;
}

Traffic TensorTraffic(const Plan& plan, uint32_t tensor) {
  const TensorPlan& spec = plan.tensors[tensor];
  Traffic sum;
  for (uint32_t b = 0; b < spec.block_count; ++b) {
    Add(BlockTraffic(plan, spec.first_block + b), sum);
  }
  return sum;
}

Traffic PlanTraffic(const Plan& plan) {
  Traffic sum;
  for (uint32_t b = 0; b < plan.blocks.size(); ++b) {
    Add(BlockTraffic(plan, b), sum);
  }
  return sum;
}

std::vector<double> TensorShares(const Plan& plan) {
  std::vector<double> shares;
  double sum = 0;
  for (uint32_t t = 0; t < plan.model.tensors.size(); ++t) {
    shares.push_back(plan.IsBuffer(t) ? 0.0
                                      : static_cast<double>(ElementCount(
                                            plan.model.tensors[t].shape)));
    sum += shares.back();
  }
  for (double& share : shares) share /= sum;
  return shares;
}

uint64_t StepReportBytes(const Job& job) {
  // Numbers of the usual lengths: a step of 0.1 s, a gigabyte so far.
  constexpr uint64_t kPartNs = 20'000'000;
  wire::StepReport report;
  report.set_samples(job.train().batch_size());
  report.set_loss_sum(1);
  report.set_correct(job.train().batch_size());
  report.set_bytes_sent(1'000'000'000);
  report.set_bytes_received(1'000'000'000);
  wire::StepTimes& times = *report.mutable_times();
  times.set_total_ns(5 * kPartNs);
  times.set_compute_ns(kPartNs);
  times.set_encode_ns(kPartNs);
  times.set_wait_ns(kPartNs);
  times.set_decode_ns(kPartNs);
  times.set_apply_ns(kPartNs);
  return kFrameHeaderBytes + report.ByteSizeLong();
}

uint64_t StatisticsBytes(const Job& job, const Plan& plan) {
  uint64_t bytes = 0;
  if (!SharesStatistics(job, plan)) return bytes;
  for (const BlockSpec& block : plan.blocks) {
    if (!plan.IsBuffer(block.tensor)) continue;
    bytes += kFrameHeaderBytes + block.count * sizeof(float);
  }
  return bytes;
}

ServerMemory MemoryOfServer(const Job& job, const Plan& plan, uint32_t shard) {
  ServerMemory memory;
  const uint64_t states = OptimizerStateNames(job.optimizer()).size();
  for (uint32_t b = 0; b < plan.blocks.size(); ++b) {
    if (plan.blocks[b].shard != shard) continue;
    const uint64_t bytes = sizeof(float) * uint64_t{plan.blocks[b].count};
    memory.weights += bytes;
    memory.working += bytes;
    if (plan.IsBuffer(plan.blocks[b].tensor)) continue;
    const Traffic traffic = BlockTraffic(plan, b);
    memory.optimizer += states * bytes;
    memory.working += job.cluster().workers() * traffic.payload_bytes_up +
                      traffic.payload_bytes_down;
  }
  return memory;
}

WorkerMemory MemoryOfWorker(const Job& job, const Plan& plan) {
  WorkerMemory memory;
  const uint64_t states = OptimizerStateNames(job.optimizer()).size();
  for (uint32_t t = 0; t < plan.tensors.size(); ++t) {
    const uint64_t bytes =
        sizeof(float) * ElementCount(plan.model.tensors[t].shape);
    memory.weights += bytes;
    if (plan.IsBuffer(t)) continue;
    if (plan.tensors[t].sum_down) memory.optimizer += states * bytes;
    const bool momentum = plan.tensors[t].feedback.momentum > 0;
    memory.gradients += bytes * (1 + plan.tensors[t].error_feedback + momentum);
  }
  const Traffic traffic = PlanTraffic(plan);
  memory.working = traffic.payload_bytes_up + traffic.payload_bytes_down;
  uint64_t activations = ElementCount(plan.model.input);
  for (const LayerSpec& layer : plan.model.layers) {
    activations += KeptElements(layer);
  }
  memory.activations =
      2 * sizeof(float) * activations * job.train().batch_size();
  return memory;
}

}  // namespace terse
