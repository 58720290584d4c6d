#include "common/base/thread_pool.h"

#include "common/base/status.h"

namespace terse {

ThreadPool::ThreadPool(uint32_t threads) {
  TERSE_CHECK(threads > 0);
  helpers_.reserve(threads - 1);
  for (uint32_t i = 1; i < threads; ++i) {
    helpers_.emplace_back([this] { Help(); });
  }
}

ThreadPool::~ThreadPool() {
  {
    MutexLock lock(mutex_);
    TERSE_CHECK(work_ == nullptr);
    ending_ = true;
    changed_.NotifyAll();
  }
  for (std::thread& helper : helpers_) helper.join();
}

void ThreadPool::Run(size_t count, const std::function<void(size_t)>& work) {
  if (helpers_.empty() || count <= 1) {
    for (size_t i = 0; i < count; ++i) work(i);
    return;
  }
  {
    MutexLock lock(mutex_);
    TERSE_CHECK(work_ == nullptr);
    next_ = 0;
    work_ = &work;
    count_ = count;
    helpers_busy_ = helpers_.size();
    ++loop_;
    changed_.NotifyAll();
  }
  Drain(work, count);
  MutexLock lock(mutex_);
  while (helpers_busy_ > 0) changed_.Wait(mutex_);
  work_ = nullptr;
}

void ThreadPool::Drain(const std::function<void(size_t)>& work, size_t count) {
  // A helper that wakes late goes beyond the end by one index at most.
  for (size_t i = next_++; i < count; i = next_++) work(i);
}

void ThreadPool::Help() {
  uint64_t seen = 0;
  while (true) {
    const std::function<void(size_t)>* work;
    size_t count;
    {
      MutexLock lock(mutex_);
      while (loop_ == seen && !ending_) changed_.Wait(mutex_);
      if (ending_) return;
      seen = loop_;
      work = work_;
      count = count_;
    }
    Drain(*work, count);
    MutexLock lock(mutex_);
    if (--helpers_busy_ == 0) changed_.NotifyAll();
  }
}

}  // namespace terse
