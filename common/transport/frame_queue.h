// Frames that wait for one peer: the most urgent first, equally urgent ones in
// the order they came.
#ifndef TERSE_COMMON_TRANSPORT_FRAME_QUEUE_H_
#define TERSE_COMMON_TRANSPORT_FRAME_QUEUE_H_

#include <cstddef>
#include <deque>
#include <map>
#include <optional>
#include <utility>

#include "common/frame/frame.h"

namespace terse {

class FrameQueue {
 public:
  bool empty() const { return !front_ && waiting_.empty(); }

  void Push(Frame frame) {
    waiting_[frame.urgency].push_back(std::move(frame));
  }

  // Stays the front, whatever is pushed, until PopFront: a frame of which a
  // part is on its way cannot be overtaken. Requires: not empty.
  const Frame& Front() {
    if (!front_) {
      const auto first = waiting_.begin();
      front_ = std::move(first->second.front());
      first->second.pop_front();
      if (first->second.empty()) waiting_.erase(first);
    }
    return *front_;
  }

  // Requires: Front was called after the last PopFront.
  void PopFront() { front_.reset(); }

  void Clear() {
    front_.reset();
    waiting_.clear();
  }

 private:
  std::optional<Frame> front_;
  std::map<uint32_t, std::deque<Frame>> waiting_;  // By urgency.
};

}  // namespace terse

#endif  // TERSE_COMMON_TRANSPORT_FRAME_QUEUE_H_
