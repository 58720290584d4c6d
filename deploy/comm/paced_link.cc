#include "deploy/comm/paced_link.h"

#include <algorithm>
#include <utility>

#include "absl/time/clock.h"

namespace terse {

absl::Time Wire::Through(absl::Time now, size_t bytes) {
  free_at_ = std::max(now, free_at_) +
             absl::Seconds(static_cast<double>(bytes) * 8 / bits_per_second_);
  return free_at_;
}

absl::Status PacedSink::OnFrame(PeerId peer, Frame frame) {
  absl::Time due;
  {
    MutexLock lock(mutex_);
    due = wire_.Through(absl::Now(), frame.WireBytes());
  }
  absl::SleepFor(due - absl::Now());
  return sink_.OnFrame(peer, std::move(frame));
}

PacedLink::PacedLink(double bits_per_second, std::unique_ptr<Link> link)
    : link_(std::move(link)), wire_(bits_per_second) {
  thread_ = std::thread([this] { Run(); });
}

PacedLink::~PacedLink() {
  {
    MutexLock lock(mutex_);
    ending_ = true;
    changed_.NotifyAll();
  }
  thread_.join();
}

absl::Status PacedLink::Send(PeerId peer, Frame frame) {
  MutexLock lock(mutex_);
  const absl::Time due = wire_.Through(absl::Now(), frame.WireBytes());
  queue_.push_back({peer, std::move(frame), due});
  changed_.NotifyAll();
  return absl::OkStatus();
}

void PacedLink::Run() {
  while (true) {
    Queued next;
    {
      MutexLock lock(mutex_);
      while (queue_.empty() && !ending_) changed_.Wait(mutex_);
      if (queue_.empty()) return;
      next = std::move(queue_.front());
      queue_.pop_front();
    }
    absl::SleepFor(next.due - absl::Now());
    // A peer that has gone is heard of by the sink.
    link_->Send(next.peer, std::move(next.frame)).IgnoreError();
  }
}

}  // namespace terse
