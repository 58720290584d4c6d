#include "deploy/launch/line_tail.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

namespace terse {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class LineTailTest : public ::testing::Test {
 protected:
  LineTailTest()
      : path_(::testing::TempDir() + "line_tail_" + std::to_string(getpid())),
        tail_(path_) {}
  ~LineTailTest() override { std::filesystem::remove(path_); }

  void Append(const std::string& text) {
    std::ofstream(path_, std::ios::app | std::ios::binary) << text;
  }
  std::vector<std::string> Poll() {
    std::vector<std::string> lines;
    tail_.Poll([&](std::string_view line) { lines.emplace_back(line); });
    return lines;
  }

  const std::string path_;
  LineTail tail_;
};

TEST_F(LineTailTest, WaitsForTheFile) {
  EXPECT_THAT(Poll(), IsEmpty());
  Append("a\n");
  EXPECT_THAT(Poll(), ElementsAre("a"));
}

TEST_F(LineTailTest, HandsOutEachLineOnce) {
  Append("a\nb\n");
  EXPECT_THAT(Poll(), ElementsAre("a", "b"));
  EXPECT_THAT(Poll(), IsEmpty());
  Append("c\n");
  EXPECT_THAT(Poll(), ElementsAre("c"));
}

TEST_F(LineTailTest, KeepsTheBeginningOfALineUntilItsEndComes) {
  Append("{\"step\":");
  EXPECT_THAT(Poll(), IsEmpty());
  Append("1");
  EXPECT_THAT(Poll(), IsEmpty());
  Append("}\n{\"st");
  EXPECT_THAT(Poll(), ElementsAre("{\"step\":1}"));
  Append("ep\":2}\n\n");
  EXPECT_THAT(Poll(), ElementsAre("{\"step\":2}", ""));
}

TEST_F(LineTailTest, ReadsALineLongerThanItsBuffer) {
  const std::string line(200'000, 'x');
  Append(line + "\nlast\n");
  EXPECT_THAT(Poll(), ElementsAre(line, "last"));
}

}  // namespace
}  // namespace terse
