// Work that takes long (disks), done apart from the thread that asks for it.
#ifndef TERSE_COMMON_BASE_BACKGROUND_H_
#define TERSE_COMMON_BASE_BACKGROUND_H_

#include <deque>
#include <functional>
#include <memory>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "common/base/mutex.h"

namespace terse {

class Background {
 public:
  using Work = std::function<absl::Status()>;
  using Done = std::function<void(const absl::Status&)>;
  // Work that has not begun when this is destroyed is not done.
  virtual ~Background() = default;

  // Has `work` done, one after the other; a later Poll calls `done` with what
  // it returned.
  virtual void Run(Work work, Done done) = 0;

  // Reports what has been done since the last call.
  virtual void Poll() = 0;
};

// A thread of its own.
class ThreadBackground final : public Background {
 public:
  // `on_done`: called from that thread when there is something for Poll.
  explicit ThreadBackground(std::function<void()> on_done);
  // Waits for the work that has begun.
  ~ThreadBackground() override;

  void Run(Work work, Done done) override;
  void Poll() override;

 private:
  struct Task {
    Work work;
    Done done;
    absl::Status result;
  };
  void Loop();

  const std::function<void()> on_done_;
  Mutex mutex_;
  CondVar changed_;
  std::deque<Task> waiting_ ABSL_GUARDED_BY(mutex_);
  std::deque<Task> finished_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

// Works at once; for tests and the simulator.
class InlineBackground final : public Background {
 public:
  void Run(Work work, Done done) override {
    finished_.emplace_back(std::move(done), work());
  }
  void Poll() override {
    for (auto& [done, result] : std::exchange(finished_, {})) done(result);
  }

 private:
  std::deque<std::pair<Done, absl::Status>> finished_;
};

}  // namespace terse

#endif  // TERSE_COMMON_BASE_BACKGROUND_H_
