#include "common/transport/inbox.h"

#include <gtest/gtest.h>

#include <thread>

#include "absl/time/clock.h"

namespace terse {
namespace {

Frame FrameOf(size_t bytes, uint64_t step = 0) {
  return MakeFrame(1, step, 0, Buffer::CopyOf(std::string(bytes, 'x')));
}

TEST(InboxTest, GivesEventsInOrder) {
  Inbox inbox(1000);
  ASSERT_TRUE(inbox.OnFrame(PeerId{1}, FrameOf(3, 7)).ok());
  inbox.OnPeerLost(PeerId{2}, absl::UnavailableError("gone"));
  const auto frame = inbox.Pop(absl::InfinitePast());
  ASSERT_TRUE(frame && frame->frame);
  EXPECT_EQ(frame->peer, PeerId{1});
  EXPECT_EQ(frame->frame->step, 7);
  const auto lost = inbox.Pop(absl::InfinitePast());
  ASSERT_TRUE(lost && !lost->frame);
  EXPECT_EQ(lost->peer, PeerId{2});
  EXPECT_EQ(lost->reason, absl::UnavailableError("gone"));
  EXPECT_FALSE(inbox.Pop(absl::InfinitePast()));
}

TEST(InboxTest, RefusesMoreThanItsLimit) {
  Inbox inbox(2 * (kFrameHeaderBytes + 10));
  EXPECT_TRUE(inbox.OnFrame(PeerId{1}, FrameOf(10)).ok());
  EXPECT_TRUE(inbox.OnFrame(PeerId{1}, FrameOf(10)).ok());
  EXPECT_EQ(inbox.OnFrame(PeerId{1}, FrameOf(0)).code(),
            absl::StatusCode::kResourceExhausted);
  // A loss is always told, and what was taken out makes room.
  inbox.OnPeerLost(PeerId{1}, absl::OkStatus());
  EXPECT_TRUE(inbox.Pop(absl::InfinitePast()));
  EXPECT_TRUE(inbox.OnFrame(PeerId{2}, FrameOf(10)).ok());
}

TEST(InboxTest, PopEndsAtItsDeadline) {
  Inbox inbox(1000);
  const absl::Time start = absl::Now();
  EXPECT_FALSE(inbox.Pop(start + absl::Milliseconds(30)));
  EXPECT_GE(absl::Now(), start + absl::Milliseconds(30));
}

TEST(InboxTest, WakeEndsTheNextPopOnly) {
  Inbox inbox(1000);
  ASSERT_TRUE(inbox.OnFrame(PeerId{1}, FrameOf(1)).ok());
  inbox.Wake();
  EXPECT_FALSE(inbox.Pop(absl::InfiniteFuture()));
  EXPECT_TRUE(inbox.Pop(absl::InfiniteFuture()));
}

TEST(InboxTest, WaitingPopIsEndedByAFrameAndByWake) {
  Inbox inbox(1000);
  std::thread sender([&] {
    absl::SleepFor(absl::Milliseconds(20));
    EXPECT_TRUE(inbox.OnFrame(PeerId{1}, FrameOf(1)).ok());
    absl::SleepFor(absl::Milliseconds(20));
    inbox.Wake();
  });
  EXPECT_TRUE(inbox.Pop(absl::InfiniteFuture()));
  EXPECT_FALSE(inbox.Pop(absl::InfiniteFuture()));
  sender.join();
}

}  // namespace
}  // namespace terse
