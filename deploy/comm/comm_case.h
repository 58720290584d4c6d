// What `terse bench comm` times: tensors that workers push to servers, pull
// from them, or both, by the codecs and sums of a job.
#ifndef TERSE_DEPLOY_COMM_COMM_CASE_H_
#define TERSE_DEPLOY_COMM_COMM_CASE_H_

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/buffer.h"
#include "common/codec/codec.h"
#include "common/codec/gradient_sum.h"
#include "proto/job.pb.h"

namespace terse {

// kAllReduce: a push-pull with a server in every worker's process.
enum class CommPattern { kPush, kPull, kPushPull, kAllReduce };

// One row of the table, known to all processes.
struct CommCase {
  CommPattern pattern = CommPattern::kPushPull;
  GradientCodec codec;
  uint64_t elements = 0;  // Of a tensor, cut into blocks as a job does.
  uint32_t tensors = 1;   // Under way at once.
  uint32_t iterations = 20;
  uint32_t warmup_iterations = 5;
  // A block's next iteration begins when it has come down, not when all have;
  // of push-pulls.
  bool continuous = false;
  bool check = true;
};

// Blocks of all tensors of a case; block b lies on server b % servers.
struct CommBlock {
  uint64_t first_index = 0;
  uint32_t count = 0;
};
std::vector<CommBlock> CommBlocks(const CommCase& test);

// Element i of what worker `worker` pushes.
void FillCommInput(uint32_t worker, uint64_t first, std::span<float> values);

// Whose input a server encodes for pulls.
inline constexpr uint32_t kServerInput = ~0u;

// What all processes of a case compute with.
class CommMath {
 public:
  static absl::StatusOr<CommMath> Make(const CommCase& test, uint32_t workers);

  const std::vector<CommBlock>& blocks() const { return blocks_; }
  const Codec& codec() const { return *codec_; }

  // What `worker` pushes of a block in `step`.
  absl::StatusOr<Buffer> Encode(uint32_t worker, uint64_t step, uint32_t block,
                                std::span<const float> values) const;

  // What comes down of pushed gradients whose mean is `mean`.
  Buffer EncodeDown(uint32_t block, std::span<const Contribution> parts,
                    std::span<const float> mean) const;
  absl::Status DecodeDown(uint32_t block, const Buffer& payload,
                          std::span<float> target) const;

  // What a block of `step` must come to.
  absl::StatusOr<std::vector<float>> Expected(uint64_t step,
                                              uint32_t block) const;

 private:
  CommMath(const CommCase& test, uint32_t workers,
           std::unique_ptr<Codec> codec);

  SumContext Context(uint32_t block) const {
    return {*codec_, nullptr, workers_, blocks_[block].count};
  }

  uint32_t workers_;
  bool plain_;
  bool pull_;
  std::unique_ptr<Codec> codec_;
  std::vector<CommBlock> blocks_;
};

}  // namespace terse

#endif  // TERSE_DEPLOY_COMM_COMM_CASE_H_
