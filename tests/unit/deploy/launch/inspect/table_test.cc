#include "deploy/launch/table.h"

#include <string>

#include "gtest/gtest.h"

namespace terse {
namespace {

TEST(TableTest, AlignsAndRules) {
  Table table({{.title = "name"}, {.title = "count", .right = true}});
  table.AddRow({"fc1.weight", "7"});
  table.AddRow({"b", "1,000"});
  table.AddRule();
  table.AddRow({"total", ""});
  EXPECT_EQ(table.ToText(),
            "name        count\n"
            "fc1.weight      7\n"
            "b           1,000\n"
            "-----------------\n"
            "total\n");
}

TEST(TableTest, CutsTheWidestColumnThatMayBe) {
  Table table({{.title = "a", .shrinkable = true},
               {.title = "b"},
               {.title = "c", .shrinkable = true}});
  table.AddRow({std::string(30, 'x'), std::string(20, 'y'), "zzzzzzzzzz"});
  EXPECT_EQ(table.ToText(44),
            "a           b                     c\n"
            "xxxxxx..xx  yyyyyyyyyyyyyyyyyyyy  zzzzzzzzzz\n");
  // Columns stay at 8 bytes, even if the table remains too wide.
  EXPECT_EQ(table.ToText(10),
            "a         b                     c\n"
            "xxxx..xx  yyyyyyyyyyyyyyyyyyyy  zzzz..zz\n");
}

TEST(CutMiddleTest, KeepsBothEnds) {
  EXPECT_EQ(CutMiddle("conv12.running_var", 18), "conv12.running_var");
  EXPECT_EQ(CutMiddle("conv12.running_var", 13), "conv12.r..var");
  EXPECT_EQ(CutMiddle("abcdef", 3), "a..");
  EXPECT_EQ(CutMiddle("abcdef", 2), "ab");
  EXPECT_EQ(CutMiddle("abcdef", 0), "");
}

TEST(WithSeparatorsTest, GroupsByThree) {
  EXPECT_EQ(WithSeparators(0), "0");
  EXPECT_EQ(WithSeparators(999), "999");
  EXPECT_EQ(WithSeparators(1000), "1,000");
  EXPECT_EQ(WithSeparators(861354), "861,354");
  EXPECT_EQ(WithSeparators(18446744073709551615u),
            "18,446,744,073,709,551,615");
}

TEST(BarTest, IsAsLongAsItsShare) {
  EXPECT_EQ(Bar(0, 8), "");
  EXPECT_EQ(Bar(1e-9, 8), "#");
  EXPECT_EQ(Bar(0.5, 8), "####");
  EXPECT_EQ(Bar(1, 8), "########");
  EXPECT_EQ(Bar(0.0 / 0.0, 8), "");
}

}  // namespace
}  // namespace terse
