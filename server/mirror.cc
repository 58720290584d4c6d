#include "server/mirror.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/limits.h"
#include "common/base/status.h"
#include "common/codec/gradient_sum.h"
#include "common/optimizer/optimizer.h"
#include "server/reduction.h"

namespace terse {

size_t MirroredFloats(const Job& job, const Plan& plan, uint32_t block) {
  const BlockSpec& spec = plan.blocks[block];
  return spec.count * (1 + OptimizerStateNames(job.optimizer()).size()) + 1 +
         plan.tensors[spec.tensor].low_rank.right_elements();
}

size_t MirroredLearned(const Job& job, const Plan& plan, uint32_t block) {
  const auto& quantizer = plan.tensors[plan.blocks[block].tensor].quantizer;
  return quantizer == nullptr
             ? 0
             : quantizer->LearnedScales() *
                   (2 + OptimizerStateNames(job.optimizer()).size());
}

namespace {

// A worker's incarnation and parts of four evaluations, a server's incarnation
// and address, what a tensor's two reductions came to in four versions.
size_t JobStateBytesMax(const Job& job, const Plan& plan) {
  return job.cluster().workers() * size_t{256} +
         job.cluster().servers() * size_t{512} +
         plan.tensors.size() * size_t{1024};
}

}  // namespace

size_t MirroredBytesMax(const Job& job, const Plan& plan, uint32_t shard) {
  size_t largest = 0;
  for (const uint32_t block : plan.BlocksOf(shard, /*buffers=*/false)) {
    // The sum is one of floats at most, with what gradient_sum.h puts before.
    const size_t floats = MirroredFloats(job, plan, block) +
                          MirroredLearned(job, plan, block) +
                          2 * plan.blocks[block].count;
    largest = std::max(largest, floats * sizeof(float));
  }
  if (shard == 0) largest = std::max(largest, JobStateBytesMax(job, plan));
  return largest + kUnadmittedPayloadBytesMax;
}

Buffer MirrorPayload(const Job& job, const Plan& plan, const BlockStore& store,
                     uint32_t block, const wire::MirroredBlock& rest) {
  const size_t floats = MirroredFloats(job, plan, block);
  Buffer payload =
      Buffer::Allocate(floats * sizeof(float) + rest.ByteSizeLong());
  // Buffers are aligned for any vector.
  store.CopyTo(block, {reinterpret_cast<float*>(payload.mutable_bytes().data()),
                       floats});
  rest.SerializeToArray(payload.mutable_bytes().data() + floats * sizeof(float),
                        static_cast<int>(rest.ByteSizeLong()));
  return payload;
}

Mirror::Mirror(const Job& job, const Plan& plan, uint32_t shard)
    : job_(job), plan_(plan), store_(job, plan, shard) {}

absl::StatusOr<Mirror::Kept> Mirror::Parse(
    uint64_t version, uint32_t block, std::span<const std::byte> rest) const {
  Kept kept = {.version = version};
  if (!kept.rest.ParseFromArray(rest.data(), static_cast<int>(rest.size())) ||
      static_cast<size_t>(kept.rest.learned_size()) !=
          MirroredLearned(job_, plan_, block)) {
    return absl::DataLossError(
        absl::StrCat("what comes with block ", block, " does not fit it"));
  }
  return kept;
}

absl::Status Mirror::Take(uint64_t version, uint32_t block,
                          const Buffer& payload) {
  if (!store_.Holds(block)) {
    return absl::InvalidArgumentError(
        absl::StrCat("block ", block, " is not one that is mirrored here"));
  }
  const auto found = kept_.find(block);
  if (found != kept_.end() && version < found->second.version) {
    return absl::InvalidArgumentError(
        absl::StrCat("block ", block, " goes back to version ", version,
                     " from version ", found->second.version));
  }
  floats_.resize(MirroredFloats(job_, plan_, block));
  const size_t bytes = floats_.size() * sizeof(float);
  if (payload.size() < bytes) {
    return absl::DataLossError(
        absl::StrCat(payload.size(), " bytes are no state of block ", block));
  }
  TERSE_ASSIGN_OR_RETURN(Kept kept,
                         Parse(version, block, payload.bytes().subspan(bytes)));
  std::memcpy(floats_.data(), payload.bytes().data(), bytes);
  store_.TakeFrom(block, floats_);
  kept_[block] = std::move(kept);
  return absl::OkStatus();
}

absl::Status Mirror::TakeSum(uint64_t version, uint32_t block,
                             float learning_rate, const Buffer& payload) {
  const auto found = kept_.find(block);
  if (found == kept_.end() || version != found->second.version + 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("a gradient of block ", block, " for version ", version,
                     " without the one before"));
  }
  TERSE_ASSIGN_OR_RETURN(Kept kept, Parse(version, block, payload.bytes()));
  const BlockSpec& spec = plan_.blocks[block];
  const TensorPlan& tensor = plan_.tensors[spec.tensor];
  const auto sum =
      std::as_bytes(std::span(kept.rest.sum().data(), kept.rest.sum().size()));
  const SumContext context = SumContextOf(plan_, block);
  if (tensor.low_rank.any() || kept.rest.updates() == 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("block ", block, " is not mirrored by its gradients"));
  }
  TERSE_RETURN_IF_ERROR(ValidateSum(context, store_.SharedScale(block), sum));
  floats_.resize(spec.count);
  DecodeSum(context, sum, floats_);
  store_.TakeLearned(spec.tensor, kept.rest);
  store_.ChainRule(block, FromRecord(found->second.rest.weight_stats()),
                   FromRecord(kept.rest.gradient_stats()), floats_);
  TERSE_RETURN_IF_ERROR(store_.Update(block, kept.rest.updates() - 1,
                                      learning_rate, SumFactor(sum), floats_));
  store_.SetSharedScale(block, SumNextScale(sum));
  // What is sent back is the state.
  if (!tensor.sum_down) kept.rest.clear_sum();
  found->second = std::move(kept);
  return absl::OkStatus();
}

uint64_t Mirror::newest() const {
  uint64_t version = 0;
  for (const auto& [block, kept] : kept_) {
    version = std::max(version, kept.version);
  }
  return version;
}

uint64_t Mirror::oldest() const {
  uint64_t version = newest();
  for (const auto& [block, kept] : kept_) {
    version = std::min(version, kept.version);
  }
  return version;
}

std::optional<uint32_t> MirrorQueue::Next() {
  if (waiting_.empty() || bytes_under_way_ > kMirrorBytesUnderWayMax) {
    return std::nullopt;
  }
  const uint32_t block = waiting_.front();
  waiting_.pop_front();
  return block;
}

void MirrorQueue::OnSent(uint32_t block, size_t bytes) {
  under_way_.emplace_back(block, bytes);
  bytes_under_way_ += bytes;
}

absl::Status MirrorQueue::OnAnswer(uint32_t block) {
  if (under_way_.empty() || under_way_.front().first != block) {
    return absl::InvalidArgumentError(
        absl::StrCat("block ", block, " is not the one on its way"));
  }
  bytes_under_way_ -= under_way_.front().second;
  under_way_.pop_front();
  return absl::OkStatus();
}

}  // namespace terse
