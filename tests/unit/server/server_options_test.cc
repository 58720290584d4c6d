#include "server/server_options.h"

#include "gtest/gtest.h"

namespace terse {
namespace {

Frame Some() { return MakeFrame(1, 0, 0, Buffer()); }

TEST(NextServerTest, OfAPeerThatSaysMoreThanItMayNothingIsHeld) {
  NextServer next;
  EXPECT_TRUE(next.Hold(PeerId{1}, Some()));
  EXPECT_TRUE(next.Hold(PeerId{1}, Some()));
  EXPECT_TRUE(next.Hold(PeerId{2}, Some()));
  EXPECT_EQ(next.frames.size(), 3u);
  EXPECT_FALSE(next.Hold(PeerId{1}, Some()));
  ASSERT_EQ(next.frames.size(), 1u);
  EXPECT_EQ(next.frames[0].first, PeerId{2});
}

}  // namespace
}  // namespace terse
