// A worker's side of PowerSGD for one tensor: what it sends in the two
// exchanges of a step, and what error feedback keeps of the gradient. See
// low_rank.h.
#ifndef TERSE_WORKER_LOW_RANK_TENSOR_H_
#define TERSE_WORKER_LOW_RANK_TENSOR_H_

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "common/codec/low_rank.h"

namespace terse {

class LowRankTensor {
 public:
  // With error feedback, `residual` is the tensor's, else empty; it must
  // outlive this.
  LowRankTensor(const LowRank& shape, std::span<float> residual,
                float residual_decay);

  // The right factor that all workers start the next step from.
  // Requires: as long as the shape says.
  void SetRight(std::span<const float> right);

  // First exchange: takes the gradient (and the residual) and returns the left
  // factor to send.
  std::span<const float> Start(uint64_t step, std::span<const float> gradient);

  // Second exchange: takes the basis, float32, and returns the right factor to
  // send.
  // Errors: InvalidArgument (a basis that is not waited for, or not finite),
  // DataLoss (length); nothing was changed.
  absl::StatusOr<std::span<const float>> Finish(
      uint64_t step, std::span<const std::byte> basis);

  // What basis and right factor leave of the gradient becomes the residual: a
  // pass that nobody waits for. Once after each Finish that went well.
  void Settle();

  // The last basis; empty before the first.
  std::span<const float> basis() const { return basis_; }

 private:
  const LowRank shape_;
  std::vector<float> own_matrix_;  // Without error feedback.
  const std::span<float> residual_;
  const float residual_decay_;
  std::vector<float> right_;
  std::vector<float> left_;
  std::vector<float> own_right_;
  std::vector<float> basis_;
  std::optional<uint64_t> waiting_;  // The step whose basis has not come.
};

}  // namespace terse

#endif  // TERSE_WORKER_LOW_RANK_TENSOR_H_
