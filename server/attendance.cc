#include "server/attendance.h"

#include <algorithm>

namespace terse {

Attendance::Attendance(uint32_t workers, size_t blocks, bool incomplete)
    : present_(workers, true), begun_(workers) {
  if (incomplete) noted_.assign(blocks, std::vector<uint64_t>(workers));
}

void Attendance::Begin(uint64_t step) {
  std::fill(begun_.begin(), begun_.end(), step);
}

void Attendance::Return(uint32_t worker, uint64_t step) {
  present_[worker] = true;
  begun_[worker] = std::max(begun_[worker], step);
}

bool Attendance::OnBegun(uint32_t worker, uint64_t step) {
  if (begun_[worker] > step) return false;
  begun_[worker] = step + 1;
  return !noted_.empty();
}

RoundState Attendance::StateOf(
    uint64_t step, absl::Time opened, uint32_t received,
    const std::vector<std::optional<Buffer>>& parts) const {
  RoundState state = {.step = step,
                      .contributions = received,
                      .live_workers = static_cast<uint32_t>(present_.size()),
                      .opened = opened};
  // Called for every gradient: nobody is counted where all are waited for.
  if (noted_.empty()) return state;
  state.live_workers = 0;
  uint64_t slowest = step + 1;
  for (uint32_t w = 0; w < present_.size(); ++w) {
    // Also those that have given their part and left.
    state.live_workers += present_[w] || parts[w];
    if (present_[w]) slowest = std::min(slowest, begun_[w]);
  }
  state.lag_steps = step + 1 - slowest;
  return state;
}

bool Attendance::Note(size_t place, uint32_t worker, uint64_t step) {
  if (noted_.empty() || noted_[place][worker] > step) return false;
  noted_[place][worker] = step + 1;
  return true;
}

}  // namespace terse
