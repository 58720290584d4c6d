// Payloads that a shard sends to its mirror (server/FORMAT.md).
#ifndef TERSE_TESTS_GOLDEN_MIRROR_MIRROR_CASES_H_
#define TERSE_TESTS_GOLDEN_MIRROR_MIRROR_CASES_H_

#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "common/base/status.h"
#include "common/config/job.h"
#include "server/shard.h"

namespace terse {

inline constexpr char kMirrorJob[] = R"(
model: {mlp: {hidden: [3], batch_norm: false}}
data: {kind: noise, shape: [1, 2, 2]}
train: {steps: 2, batch_size: 4}
compress: {small_tensor_elements: 0}
cluster: {servers: 2, workers: 1, replicas: 1}
)";

// By name: a state array or two, learned scales, a sum, a right factor.
inline const std::map<std::string, std::vector<std::string>>& MirrorCases() {
  static const auto* const cases =
      new std::map<std::string, std::vector<std::string>>{
          {"adam_ttq",
           {"optimizer.kind=adam", "quantize={weights: ttq, ends: quantized}"}},
          {"momentum_sum",
           {"optimizer.momentum=0.5", "compress.down=sum",
            "compress.gradient={kind: terngrad, scale: shared}"}},
          {"powersgd", {"compress.gradient={kind: powersgd, rank: 1}"}}};
  return *cases;
}

// Of version 1 of the largest block of shard 1, or of version 0 where a step
// takes two exchanges; of a MIRROR or, if it can be, of a MIRROR_SUM.
inline Buffer MirrorCase(const std::vector<std::string>& overrides, bool sum) {
  const auto job = ParseJob(kMirrorJob, "mirror_cases", overrides);
  TERSE_CHECK(job.ok());
  const auto plan = MakePlan(*job);
  TERSE_CHECK(plan.ok());
  Shard shard(*job, *plan, 1,
              {.send = [](uint32_t, Frame) {},
               .reduce = [](uint64_t, const wire::BlockStatistics&) {},
               .mirror = [](uint32_t) {}});
  shard.Start({.steps_total = 2, .steps_per_epoch = 2});
  const std::vector<uint32_t> blocks = shard.store().blocks();
  uint32_t largest = blocks.front();
  for (const uint32_t block : blocks) {
    if (plan->blocks[block].count > plan->blocks[largest].count) {
      largest = block;
    }
    TERSE_CHECK(shard.OnMirrored(0, block).ok());
  }
  const TensorPlan& tensor = plan->tensors[plan->blocks[largest].tensor];
  if (!tensor.low_rank.any()) {
    wire::StepReport report;
    report.set_samples(4);
    TERSE_CHECK(shard.OnStepReport(absl::UnixEpoch(), 0, 0, report).ok());
    std::vector<float> gradient(plan->blocks[largest].count);
    for (size_t i = 0; i < gradient.size(); ++i) {
      gradient[i] = 0.25f * static_cast<float>(i % 5) - 0.5f;
    }
    Buffer payload =
        Buffer::Allocate(tensor.codec->MaxEncodedBytes(gradient.size()));
    payload.Truncate(
        tensor.codec->Encode(gradient, {.key = 5}, payload.mutable_bytes())
            .value());
    TERSE_CHECK(
        shard.OnGradient(absl::UnixEpoch(), 0, 0, largest, payload).ok());
  }
  return shard
      .MirrorFrame(largest, sum ? std::optional<uint64_t>(0) : std::nullopt)
      .value()
      .payload;
}

}  // namespace terse

#endif  // TERSE_TESTS_GOLDEN_MIRROR_MIRROR_CASES_H_
