#include "common/base/thread_pool.h"

#include <atomic>
#include <numeric>
#include <set>
#include <thread>
#include <vector>

#include "common/base/mutex.h"
#include "gtest/gtest.h"

namespace terse {
namespace {

TEST(ThreadPool, CallsEveryIndexOnce) {
  for (const uint32_t threads : {1u, 2u, 3u, 8u}) {
    ThreadPool pool(threads);
    EXPECT_EQ(pool.threads(), threads);
    for (const size_t count : {0, 1, 2, 7, 1000}) {
      std::vector<std::atomic<int>> calls(count);
      pool.Run(count, [&](size_t i) { ++calls[i]; });
      for (size_t i = 0; i < count; ++i) {
        ASSERT_EQ(calls[i], 1) << i << " of " << count << ", " << threads;
      }
    }
  }
}

TEST(ThreadPool, WhatTheWorkWroteCanBeReadAfterwards) {
  ThreadPool pool(4);
  std::vector<uint64_t> values(10000);
  for (int round = 1; round <= 50; ++round) {
    pool.Run(values.size(), [&](size_t i) { values[i] += i; });
    const uint64_t sum =
        std::accumulate(values.begin(), values.end(), uint64_t{0});
    ASSERT_EQ(sum, round * (values.size() * (values.size() - 1) / 2));
  }
}

TEST(ThreadPool, WorksOnSeveralThreadsAtATime) {
  ThreadPool pool(3);
  Mutex mutex;
  CondVar changed;
  std::set<std::thread::id> here;
  // Each index waits until all three have been taken.
  pool.Run(3, [&](size_t) {
    MutexLock lock(mutex);
    here.insert(std::this_thread::get_id());
    changed.NotifyAll();
    while (here.size() < 3) changed.Wait(mutex);
  });
  EXPECT_EQ(here.size(), 3u);
  EXPECT_TRUE(here.contains(std::this_thread::get_id()));
}

TEST(ThreadPool, OneThreadIsTheCaller) {
  ThreadPool pool(1);
  std::vector<size_t> order;
  pool.Run(5, [&](size_t i) { order.push_back(i); });
  EXPECT_EQ(order, (std::vector<size_t>{0, 1, 2, 3, 4}));
}

TEST(ThreadPool, EndsWithoutHavingWorked) { ThreadPool pool(16); }

TEST(ThreadPool, AtLeastOneThread) {
  EXPECT_DEATH(ThreadPool(0), "check failed");
}

}  // namespace
}  // namespace terse
