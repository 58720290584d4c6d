// Means over the workers of what their networks keep beside parameters
// (batch-norm statistics), for evaluations.
#ifndef TERSE_SERVER_BUFFER_MEANS_H_
#define TERSE_SERVER_BUFFER_MEANS_H_

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "common/frame/frame.h"
#include "common/plan/plan.h"
#include "server/attendance.h"

namespace terse {

// The mean of `count` floats over the payloads that are there, added in their
// order. Requires: one at least; each has `count` floats.
Buffer MeanOf(std::span<const std::optional<Buffer>> payloads, size_t count);

class BufferMeans {
 public:
  using Publish = std::function<void(const Frame& mean)>;

  // All must outlive the object but `publish`, which is called with each mean.
  BufferMeans(const Plan& plan, const Attendance& attendance, uint32_t workers,
              Publish publish)
      : plan_(plan),
        attendance_(attendance),
        workers_(workers),
        publish_(std::move(publish)) {}

  // `worker`'s fp32 values of `block` in `version`; counted once.
  // Errors: DataLoss (not as many as the block has).
  absl::Status Add(uint32_t worker, uint64_t version, uint32_t block,
                   Buffer payload);
  // Publishes what waited for a worker that has left.
  void CloseComplete();
  // Calls `send` for the means that `version` and later ones have.
  void ForEachSince(uint64_t version, const Publish& send) const;

 private:
  struct Part {
    std::vector<std::optional<Buffer>> payloads;  // By worker.
    bool closed = false;
    std::optional<Frame> mean;  // Of the last version that was evaluated.
  };
  void CloseIfComplete(uint64_t version, uint32_t block, Part& part);

  const Plan& plan_;
  const Attendance& attendance_;
  const uint32_t workers_;
  const Publish publish_;
  // By version and block. One that is closed stays, without its payloads, so
  // that a repeated push is known.
  std::map<std::pair<uint64_t, uint32_t>, Part> parts_;
};

}  // namespace terse

#endif  // TERSE_SERVER_BUFFER_MEANS_H_
