// Whose gradients the rounds of a BSP shard wait for, and which came when the
// others had closed their round: with backup workers, and where a job goes on
// without those it has lost.
#ifndef TERSE_SERVER_ATTENDANCE_H_
#define TERSE_SERVER_ATTENDANCE_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "common/base/buffer.h"
#include "server/round.h"

namespace terse {

class Attendance {
 public:
  // Of a job with `workers`, all of them present, and a shard with `blocks`.
  // `incomplete`: whether rounds may close without some.
  Attendance(uint32_t workers, size_t blocks, bool incomplete);

  // All begin with `step`.
  void Begin(uint64_t step);

  bool present(uint32_t worker) const { return present_[worker]; }
  void Leave(uint32_t worker) { present_[worker] = false; }
  void Return(uint32_t worker, uint64_t step);

  // `worker` computes `step`. Returns whether a round may have waited for that.
  bool OnBegun(uint32_t worker, uint64_t step);

  // What a round of `step` with these parts, `received` of them there, is
  // decided by.
  RoundState StateOf(uint64_t step, absl::Time opened, uint32_t received,
                     const std::vector<std::optional<Buffer>>& parts) const;

  // Notes that the gradient of `step` counts for the block at `place`, or that
  // its sender has been told that it does not. Returns whether that is new.
  bool Note(size_t place, uint32_t worker, uint64_t step);

 private:
  std::vector<bool> present_;    // By worker.
  std::vector<uint64_t> begun_;  // By worker: steps.
  // By place and worker: steps of gradients noted; empty where none is late.
  std::vector<std::vector<uint64_t>> noted_;
};

}  // namespace terse

#endif  // TERSE_SERVER_ATTENDANCE_H_
