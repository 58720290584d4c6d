#include <string>

#include "common/plan/plan.h"
#include "gtest/gtest.h"

namespace terse {
namespace {

TEST(GlobTest, Matches) {
  EXPECT_TRUE(GlobMatches("fc1.weight", "fc1.weight"));
  EXPECT_TRUE(GlobMatches("fc1.*", "fc1.weight"));
  EXPECT_TRUE(GlobMatches("*", ""));
  EXPECT_TRUE(GlobMatches("*", "anything"));
  EXPECT_TRUE(GlobMatches("", ""));
  EXPECT_TRUE(GlobMatches("fc?.weight", "fc1.weight"));
  EXPECT_TRUE(GlobMatches("*.weight", "conv12.weight"));
  EXPECT_TRUE(GlobMatches("*a*b*c*", "xxaxxbxxcxx"));
  EXPECT_TRUE(GlobMatches("a*a", "aaa"));
  EXPECT_TRUE(GlobMatches("a**b", "ab"));
}

TEST(GlobTest, DoesNotMatch) {
  EXPECT_FALSE(GlobMatches("fc1", "fc1.weight"));
  EXPECT_FALSE(GlobMatches("fc?.weight", "fc12.weight"));
  EXPECT_FALSE(GlobMatches("", "a"));
  EXPECT_FALSE(GlobMatches("?", ""));
  EXPECT_FALSE(GlobMatches("a*a", "a"));
  EXPECT_FALSE(GlobMatches("*a*b*c*", "xxcxxbxxaxx"));
  EXPECT_FALSE(GlobMatches("FC1.*", "fc1.weight"));
}

TEST(GlobTest, ManyStarsTakeNoTime) {
  std::string pattern;
  for (int i = 0; i < 1000; ++i) pattern += "a*";
  EXPECT_FALSE(GlobMatches(pattern + "b", std::string(5000, 'a')));
  EXPECT_TRUE(GlobMatches(pattern, std::string(5000, 'a')));
}

}  // namespace
}  // namespace terse
