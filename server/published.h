// The frames that a shard has sent to all workers lately, for workers that come
// back or take another's rank. The workers' queues hold the same bytes.
#ifndef TERSE_SERVER_PUBLISHED_H_
#define TERSE_SERVER_PUBLISHED_H_

#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

#include "common/frame/frame.h"

namespace terse {

class Published {
 public:
  // `versions`: of how many, the one that is being made included; 0: of none.
  Published(uint32_t versions, size_t blocks)
      : blocks_(blocks), versions_(versions) {}

  // Forgets the oldest version in favour of `version`.
  void Open(uint64_t version) {
    if (versions_.empty()) return;
    versions_[version % versions_.size()] = {
        version, std::vector<std::vector<Frame>>(blocks_)};
  }
  // What the block at `place` has become in `version`. Requires: it is open.
  void Add(uint64_t version, size_t place, std::vector<Frame> frames) {
    if (versions_.empty()) return;
    versions_[version % versions_.size()].frames[place] = std::move(frames);
  }
  // Of the block at `place`; empty: not held, or nothing was added.
  std::vector<Frame> Of(uint64_t version, size_t place) const {
    if (versions_.empty()) return {};
    const Version& held = versions_[version % versions_.size()];
    if (held.version != version || held.frames.empty()) return {};
    return held.frames[place];
  }
  // Calls `send` for all frames of `version`; false: it is not held.
  bool ForEach(uint64_t version,
               const std::function<void(const Frame&)>& send) const {
    if (versions_.empty()) return false;
    const Version& held = versions_[version % versions_.size()];
    if (held.version != version || held.frames.empty()) return false;
    for (const std::vector<Frame>& frames : held.frames) {
      for (const Frame& frame : frames) send(frame);
    }
    return true;
  }

 private:
  struct Version {
    uint64_t version = 0;
    std::vector<std::vector<Frame>> frames;  // By place.
  };
  const size_t blocks_;
  std::vector<Version> versions_;
};

}  // namespace terse

#endif  // TERSE_SERVER_PUBLISHED_H_
