#include "worker/downlink.h"

#include <vector>

#include "gtest/gtest.h"

namespace terse {
namespace {

TEST(BlockSetTest, CompleteWhenEveryWantedBlockHasCome) {
  BlockSet set({true, false, true});
  EXPECT_FALSE(set.complete());
  EXPECT_TRUE(set.Take(0, 2).ok());
  EXPECT_FALSE(set.complete());
  EXPECT_TRUE(set.Take(0, 0).ok());
  EXPECT_TRUE(set.complete());
}

TEST(BlockSetTest, RefusesWhatIsNotAwaited) {
  BlockSet set({true, false});
  EXPECT_TRUE(absl::IsInvalidArgument(set.Take(1, 0)));  // Version.
  EXPECT_TRUE(absl::IsInvalidArgument(set.Take(0, 1)));  // Not wanted.
  EXPECT_TRUE(absl::IsInvalidArgument(set.Take(0, 2)));  // Unknown.
  EXPECT_TRUE(set.Take(0, 0).ok());
  EXPECT_TRUE(absl::IsInvalidArgument(set.Take(0, 0)));  // Twice.
}

TEST(BlockSetTest, AwaitForgets) {
  BlockSet set({true});
  EXPECT_TRUE(set.Take(0, 0).ok());
  set.Await(5);
  EXPECT_EQ(set.version(), 5u);
  EXPECT_FALSE(set.complete());
  EXPECT_TRUE(set.Take(5, 0).ok());
  EXPECT_TRUE(set.complete());
}

TEST(BlockSetTest, NothingWantedIsCompleteAtOnce) {
  BlockSet set({false, false});
  EXPECT_TRUE(set.complete());
  set.Await(3);
  EXPECT_TRUE(set.complete());
}

}  // namespace
}  // namespace terse
