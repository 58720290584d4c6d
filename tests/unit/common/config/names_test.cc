#include "common/config/names.h"

#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace terse {
namespace {

TEST(EditDistanceTest, CountsEveryKindOfSlip) {
  EXPECT_EQ(EditDistance("", ""), 0);
  EXPECT_EQ(EditDistance("", "abc"), 3);
  EXPECT_EQ(EditDistance("abc", ""), 3);
  EXPECT_EQ(EditDistance("momentum", "momentum"), 0);
  EXPECT_EQ(EditDistance("momentm", "momentum"), 1);    // Left out.
  EXPECT_EQ(EditDistance("momenttum", "momentum"), 1);  // Too many.
  EXPECT_EQ(EditDistance("momentun", "momentum"), 1);   // Another.
  EXPECT_EQ(EditDistance("moemntum", "momentum"), 1);   // Swapped.
  EXPECT_EQ(EditDistance("kitten", "sitting"), 3);
}

TEST(EditDistanceTest, TouchesNoLetterTwice) {
  EXPECT_EQ(EditDistance("ca", "abc"), 3);
}

TEST(EditDistanceTest, LooksAtNoMoreThanTheFirst256Bytes) {
  EXPECT_EQ(EditDistance(std::string(1000000, 'a'), std::string(300, 'a')), 0);
  EXPECT_EQ(EditDistance(std::string(1000000, 'a'), ""), 256);
}

TEST(NearestNameTest, PrefersTheNearestThenTheFirst) {
  const std::vector<std::string> names = {"terngrad", "topk", "tops", "none"};
  EXPECT_EQ(NearestName("terngrda", names), "terngrad");
  EXPECT_EQ(NearestName("topx", names), "topk");
  EXPECT_EQ(NearestName("topsk", names), "topk");
}

TEST(NearestNameTest, IsSilentAboutWhatIsNoSlip) {
  const std::vector<std::string> names = {"terngrad", "topk"};
  EXPECT_EQ(NearestName("learning_rate", names), "");
  EXPECT_EQ(NearestName("x", {}), "");
  // Two letters that share none with a name of two letters.
  EXPECT_EQ(NearestName("ab", std::vector<std::string>{"xy"}), "");
}

TEST(DidYouMeanTest, IsAClauseOrNothing) {
  const std::vector<std::string> names = {"epochs", "steps"};
  EXPECT_EQ(DidYouMean("epoch", names), "; did you mean 'epochs'?");
  EXPECT_EQ(DidYouMean("batch_size", names), "");
}

TEST(ForMessageTest, StaysOnOneLineAndShort) {
  EXPECT_EQ(ForMessage("a\nb\tc\x7f"), "a?b?c?");
  EXPECT_EQ(ForMessage("abcdef", 6), "abcdef");
  EXPECT_EQ(ForMessage("abcdefg", 6), "abcdef...");
  // Three bytes a character: the cut falls before the one it would split.
  EXPECT_EQ(ForMessage("\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac", 7),
            "\xe2\x82\xac\xe2\x82\xac...");
}

}  // namespace
}  // namespace terse
