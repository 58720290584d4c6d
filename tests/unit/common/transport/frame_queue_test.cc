#include "common/transport/frame_queue.h"

#include <gtest/gtest.h>

#include <vector>

namespace terse {
namespace {

Frame FrameOf(uint64_t step, uint32_t urgency) {
  Frame frame = MakeFrame(1, step, 0, {});
  frame.urgency = urgency;
  return frame;
}

std::vector<uint64_t> Drain(FrameQueue& queue) {
  std::vector<uint64_t> steps;
  while (!queue.empty()) {
    steps.push_back(queue.Front().step);
    queue.PopFront();
  }
  return steps;
}

TEST(FrameQueue, UrgentFramesOvertakeAndEqualOnesDoNot) {
  FrameQueue queue;
  EXPECT_TRUE(queue.empty());
  queue.Push(FrameOf(1, 7));
  queue.Push(FrameOf(2, 3));
  queue.Push(FrameOf(3, 7));
  queue.Push(FrameOf(4, 0));
  queue.Push(FrameOf(5, 3));
  EXPECT_EQ(Drain(queue), (std::vector<uint64_t>{4, 2, 5, 1, 3}));
}

TEST(FrameQueue, AFrameThatWasBegunIsNotOvertaken) {
  FrameQueue queue;
  queue.Push(FrameOf(1, 7));
  EXPECT_EQ(queue.Front().step, 1);
  queue.Push(FrameOf(2, 0));
  EXPECT_EQ(queue.Front().step, 1);
  EXPECT_EQ(Drain(queue), (std::vector<uint64_t>{1, 2}));
}

TEST(FrameQueue, ClearForgetsTheBegunOneToo) {
  FrameQueue queue;
  queue.Push(FrameOf(1, 7));
  queue.Push(FrameOf(2, 7));
  queue.Front();
  queue.Clear();
  EXPECT_TRUE(queue.empty());
}

}  // namespace
}  // namespace terse
