#include "common/transport/inbox.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace terse {

absl::Status Inbox::OnFrame(PeerId peer, Frame frame) {
  MutexLock lock(mutex_);
  const size_t bytes = frame.WireBytes();
  if (bytes > bytes_max_ - bytes_) {
    return absl::ResourceExhaustedError(
        absl::StrCat(bytes_, " bytes wait to be processed here; a frame of ",
                     bytes, " more would exceed the limit of ", bytes_max_));
  }
  bytes_ += bytes;
  events_.push_back({.peer = peer, .frame = std::move(frame)});
  changed_.NotifyAll();
  return absl::OkStatus();
}

void Inbox::OnPeerLost(PeerId peer, const absl::Status& reason) {
  MutexLock lock(mutex_);
  events_.push_back({.peer = peer, .reason = reason});
  changed_.NotifyAll();
}

std::optional<Inbox::Event> Inbox::Pop(absl::Time deadline) {
  MutexLock lock(mutex_);
  bool in_time = true;
  while (in_time && !woken_ && events_.empty()) {
    in_time = changed_.WaitUntil(mutex_, deadline);
  }
  if (std::exchange(woken_, false) || events_.empty()) return std::nullopt;
  Event event = std::move(events_.front());
  events_.pop_front();
  if (event.frame) bytes_ -= event.frame->WireBytes();
  return event;
}

void Inbox::Wake() {
  MutexLock lock(mutex_);
  woken_ = true;
  changed_.NotifyAll();
}

}  // namespace terse
