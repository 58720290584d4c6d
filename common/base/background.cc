#include "common/base/background.h"

#include <utility>

namespace terse {

ThreadBackground::ThreadBackground(std::function<void()> on_done)
    : on_done_(std::move(on_done)), thread_([this] { Loop(); }) {}

ThreadBackground::~ThreadBackground() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    changed_.NotifyAll();
  }
  thread_.join();
}

void ThreadBackground::Run(Work work, Done done) {
  MutexLock lock(mutex_);
  waiting_.push_back({std::move(work), std::move(done), absl::OkStatus()});
  changed_.NotifyAll();
}

void ThreadBackground::Poll() {
  std::deque<Task> finished;
  {
    MutexLock lock(mutex_);
    finished.swap(finished_);
  }
  for (Task& task : finished) task.done(task.result);
}

void ThreadBackground::Loop() {
  while (true) {
    Task task;
    {
      MutexLock lock(mutex_);
      while (waiting_.empty() && !stopping_) changed_.Wait(mutex_);
      if (stopping_) return;
      task = std::move(waiting_.front());
      waiting_.pop_front();
    }
    task.result = task.work();
    task.work = nullptr;  // With all that it holds.
    {
      MutexLock lock(mutex_);
      finished_.push_back(std::move(task));
    }
    on_done_();
  }
}

}  // namespace terse
