// Sends a worker's gradients: cuts them into blocks, encodes, keeps what the
// encoding lost.
#ifndef TERSE_WORKER_UPLINK_H_
#define TERSE_WORKER_UPLINK_H_

#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/thread_pool.h"
#include "common/frame/frame.h"
#include "common/plan/plan.h"
#include "proto/wire.pb.h"
#include "worker/feedback.h"
#include "worker/low_rank_tensor.h"
#include "worker/observer.h"

namespace terse {

// Steps between two measurements of the residual's norm, which reads it and the
// gradient once more.
inline constexpr uint64_t kResidualNormSteps = 8;

class Uplink {
 public:
  // `send` hands a frame to a shard's link. `plan` must outlive the uplink.
  // Blocks are encoded on `threads` threads; what is sent does not depend on
  // how many.
  Uplink(const Plan& plan, uint64_t seed, uint32_t worker, uint32_t threads,
         std::function<absl::Status(uint32_t shard, Frame frame)> send);

  // Encodes and sends all blocks of `tensor`'s gradient of `step`, in order.
  // Errors: InvalidArgument (NaN or infinity, with the tensor's name), those of
  // `send`.
  absl::Status Push(uint64_t step, uint32_t tensor,
                    std::span<const float> gradient);

  // The same for the blocks that lie within the first `ready.size()` elements
  // of the gradient, as far as the tensor's blocks can be encoded one by one;
  // Push then sends the others.
  absl::Status PushReady(uint64_t step, uint32_t tensor,
                         std::span<const float> ready);

  // The second exchange of a low-rank tensor: takes the basis that `block`'s
  // shard made of what Push has sent, and sends the right factor for it.
  // Errors: InvalidArgument and DataLoss (a basis that is not valid or not
  // waited for), those of Push.
  absl::Status PushFactor(uint64_t step, uint32_t block,
                          std::span<const std::byte> basis);

  // Gives a block's gradient that Push has sent, and that did not count, back
  // to error feedback, which the tensor must have.
  void TakeBack(uint32_t block, const Buffer& payload);

  // The low-rank state of `tensor`; null: none.
  LowRankTensor* LowRankOf(uint32_t tensor) { return low_rank_[tensor].get(); }
  const LowRankTensor* LowRankOf(uint32_t tensor) const {
    return low_rank_[tensor].get();
  }

  // For ratios that change with the epoch; at first every step is of epoch 0.
  void SetStepsPerEpoch(uint64_t steps) { steps_per_epoch_ = steps; }

  // The scale of `block` that the workers have agreed on for the next step, if
  // they share it; see LevelCodec.
  void SetSharedScale(uint32_t block, float scale) {
    shared_scales_[block] = scale;
  }
  float SharedScale(uint32_t block) const { return shared_scales_[block]; }

  // Until the next call the payloads of Push go to `observer` too; null: to
  // nobody.
  void Observe(TensorObserver* observer) { observer_ = observer; }

  // Bytes of the payloads of `tensor`'s gradients so far.
  uint64_t PayloadBytes(uint32_t tensor) const {
    return payload_bytes_[tensor];
  }

  // Sends a buffer's values in `version` as frames of `kind`.
  absl::Status PushBuffer(wire::FrameKind kind, uint64_t version,
                          uint32_t tensor, std::span<const float> values);

  // What is kept of `tensor` from step to step, for checkpoints to keep under
  // its name; null: nothing.
  Feedback* KeptOf(uint32_t tensor) { return feedback_[tensor].get(); }
  const Feedback* KeptOf(uint32_t tensor) const {
    return feedback_[tensor].get();
  }

  // What error feedback holds back of `tensor`; empty without it.
  std::span<const float> Residual(uint32_t tensor) const;

  // Norm of the residuals over that of the gradients, over all tensors with
  // error feedback, in the last step that kResidualNormSteps divides; none
  // before one, or where the gradients were 0.
  std::optional<double> ResidualNormRatio() const;

 private:
  // A tensor whose blocks can only be encoded once all of it is known.
  struct Scanned {
    std::span<const float> prepared;  // As Feedback::Prepare has it.
    TensorScan scan;
  };
  absl::StatusOr<Scanned> ScanTensor(uint64_t step, uint32_t tensor,
                                     std::span<const float> gradient);
  // Encodes and sends the blocks of `tensor` that were not sent yet, up to the
  // `end`th; they lie within `gradient`.
  absl::Status PushBlocks(uint64_t step, uint32_t tensor, uint32_t end,
                          std::span<const float> gradient);
  // Encodes block `id`, which lies within `gradient`. `scanned`: null unless
  // the codec scans tensors.
  absl::StatusOr<Buffer> EncodeBlock(uint64_t step, uint32_t id,
                                     std::span<const float> gradient,
                                     Scanned* scanned);
  absl::Status SendBlock(uint64_t step, uint32_t id, Buffer payload);
  // The scale that workers share of a block in a step, if they do.
  std::optional<float> ScaleInUse(uint32_t block, uint64_t step) const;
  absl::Status Annotated(const absl::Status& status, uint64_t step,
                         uint32_t tensor) const;
  // Blocks of `tensor` that were sent in `step`.
  uint32_t& SentBlocks(uint64_t step, uint32_t tensor);
  absl::Status PushLeftFactor(uint64_t step, uint32_t tensor,
                              std::span<const float> gradient);
  absl::Status SendFactor(wire::FrameKind kind, uint64_t step, uint32_t tensor,
                          std::span<const float> factor);
  // For ResidualNormRatio; the residual is whole when a tensor has been sent.
  void MeasureGradient(uint64_t step, std::span<const float> gradient);
  void MeasureResidual(uint64_t step, uint32_t tensor);

  const Plan& plan_;
  const uint64_t seed_;
  const uint32_t worker_;
  ThreadPool pool_;
  std::vector<absl::StatusOr<Buffer>> payloads_;  // Of blocks encoded at once.
  const std::function<absl::Status(uint32_t shard, Frame frame)> send_;
  std::vector<std::unique_ptr<Feedback>> feedback_;       // By tensor.
  std::vector<std::unique_ptr<LowRankTensor>> low_rank_;  // By tensor.
  struct Progress {
    uint64_t step = 0;
    uint32_t blocks = 0;
  };
  std::vector<Progress> progress_;  // By tensor.
  uint64_t steps_per_epoch_ = std::numeric_limits<uint64_t>::max();
  uint64_t norms_step_ = 0;
  double residual_squares_ = 0;
  double gradient_squares_ = 0;
  std::vector<float> shared_scales_;     // By block.
  std::vector<uint64_t> payload_bytes_;  // By tensor.
  TensorObserver* observer_ = nullptr;
};

}  // namespace terse

#endif  // TERSE_WORKER_UPLINK_H_
