// A bounded set of threads that share a loop.
#ifndef TERSE_COMMON_BASE_THREAD_POOL_H_
#define TERSE_COMMON_BASE_THREAD_POOL_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <thread>
#include <vector>

#include "common/base/mutex.h"

namespace terse {

class ThreadPool {
 public:
  // `threads` work on a loop, the one that calls Run among them: one thread
  // starts none. Requires: threads > 0.
  explicit ThreadPool(uint32_t threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  // Calls work(0) .. work(count - 1), each once, on any thread in any order,
  // and returns when all have returned. What they wrote can be read then.
  // Requires: one Run at a time; `work` does not call Run and does not throw.
  void Run(size_t count, const std::function<void(size_t)>& work);

  uint32_t threads() const {
    return static_cast<uint32_t>(helpers_.size()) + 1;
  }

 private:
  void Help();
  // Takes indices until none is left.
  void Drain(const std::function<void(size_t)>& work, size_t count);

  std::atomic<size_t> next_ = 0;
  Mutex mutex_;
  CondVar changed_;
  // Of the loop under way; null between loops.
  const std::function<void(size_t)>* work_ ABSL_GUARDED_BY(mutex_) = nullptr;
  size_t count_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t loop_ ABSL_GUARDED_BY(mutex_) = 0;
  size_t helpers_busy_ ABSL_GUARDED_BY(mutex_) = 0;
  bool ending_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<std::thread> helpers_;
};

}  // namespace terse

#endif  // TERSE_COMMON_BASE_THREAD_POOL_H_
