// Takes what the shards publish and puts it where the network reads it.
#ifndef TERSE_WORKER_DOWNLINK_H_
#define TERSE_WORKER_DOWNLINK_H_

#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/frame/frame.h"
#include "common/plan/plan.h"

namespace terse {

// One kind of published blocks of one version; complete when every block that
// was asked for has come once.
class BlockSet {
 public:
  // `wanted`: by block.
  explicit BlockSet(std::vector<bool> wanted);

  // Forgets what came; the set now waits for `version`.
  void Await(uint64_t version);

  // Errors: InvalidArgument (a block or version that is not waited for, or one
  // that came before).
  absl::Status Take(uint64_t version, uint32_t block);

  bool complete() const { return missing_ == 0; }
  bool taken(uint32_t block) const { return taken_[block]; }
  uint64_t version() const { return version_; }

 private:
  const std::vector<bool> wanted_;
  const size_t wanted_count_;
  std::vector<bool> taken_;
  size_t missing_ = 0;
  uint64_t version_ = 0;
};

// Takes the scale of the next step off the end of a WEIGHTS payload; 0 (and
// nothing is taken) for blocks of which the workers share no scale.
// Errors: DataLoss (length), InvalidArgument (negative, NaN or infinite).
absl::StatusOr<float> TakeSharedScale(const Plan& plan, uint32_t block,
                                      Buffer& payload);

// Takes the right factor of the next step off the end of a WEIGHTS payload;
// empty for blocks that have none.
// Errors: DataLoss (length), InvalidArgument (not finite).
absl::StatusOr<std::vector<float>> TakeRightFactor(const Plan& plan,
                                                   uint32_t block,
                                                   Buffer& payload);

// Decodes a WEIGHTS payload into the block's part of `tensor_values`.
// Errors: as WeightQuantizer::Validate; DataLoss (length).
absl::Status DecodeWeights(const Plan& plan, uint32_t block,
                           const Buffer& payload,
                           std::span<float> tensor_values);

// The same for payloads that are fp32 whatever the tensor's quantizer.
absl::Status DecodeFloats(const Plan& plan, uint32_t block,
                          const Buffer& payload,
                          std::span<float> tensor_values);

}  // namespace terse

#endif  // TERSE_WORKER_DOWNLINK_H_
