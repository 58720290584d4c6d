// std::mutex and std::condition_variable with the annotations clang checks.
// Not absl::Mutex: ThreadSanitizer cannot see into the installed Abseil, and
// would report every access that such a lock guards.
#ifndef TERSE_COMMON_BASE_MUTEX_H_
#define TERSE_COMMON_BASE_MUTEX_H_

#include <condition_variable>
#include <mutex>

#include "absl/base/thread_annotations.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace terse {

class ABSL_LOCKABLE Mutex {
 public:
  void Lock() ABSL_EXCLUSIVE_LOCK_FUNCTION() { mutex_.lock(); }
  void Unlock() ABSL_UNLOCK_FUNCTION() { mutex_.unlock(); }

 private:
  friend class CondVar;
  std::mutex mutex_;
};

class ABSL_SCOPED_LOCKABLE MutexLock {
 public:
  explicit MutexLock(Mutex& mutex) ABSL_EXCLUSIVE_LOCK_FUNCTION(mutex)
      : mutex_(mutex) {
    mutex_.Lock();
  }
  ~MutexLock() ABSL_UNLOCK_FUNCTION() { mutex_.Unlock(); }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

 private:
  Mutex& mutex_;
};

// Waits may end for no reason; callers loop over their condition.
class CondVar {
 public:
  void NotifyAll() { condition_.notify_all(); }

  // Returns false once `deadline` (absl::InfiniteFuture: none) has passed.
  bool WaitUntil(Mutex& mutex, absl::Time deadline)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    std::unique_lock<std::mutex> lock(mutex.mutex_, std::adopt_lock);
    // Years ahead is for ever; the library overflows far out.
    const bool for_ever = deadline > absl::Now() + absl::Hours(24 * 365);
    bool in_time = true;
    if (for_ever) {
      condition_.wait(lock);
    } else {
      in_time = condition_.wait_until(lock, absl::ToChronoTime(deadline)) ==
                std::cv_status::no_timeout;
    }
    lock.release();
    return in_time;
  }

  void Wait(Mutex& mutex) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    WaitUntil(mutex, absl::InfiniteFuture());
  }

 private:
  std::condition_variable condition_;
};

}  // namespace terse

#endif  // TERSE_COMMON_BASE_MUTEX_H_
