#include "deploy/launch/format.h"

#include <gtest/gtest.h>

#include <limits>

namespace terse {
namespace {

TEST(FormatBytes, KeepsThreeDigitsAndRollsOverToTheNextUnit) {
  EXPECT_EQ(FormatBytes(0), "0 B");
  EXPECT_EQ(FormatBytes(813), "813 B");
  EXPECT_EQ(FormatBytes(999.6), "1.00 kB");
  EXPECT_EQ(FormatBytes(4212), "4.21 kB");
  EXPECT_EQ(FormatBytes(83.1e6), "83.1 MB");
  EXPECT_EQ(FormatBytes(999.6e6), "1.00 GB");
  EXPECT_EQ(FormatBytes(123e12), "123 TB");
}

TEST(FormatClock, ShowsHoursOnlyWhereThereAreSome) {
  EXPECT_EQ(FormatClock(0), "0:00");
  EXPECT_EQ(FormatClock(6.6), "0:07");
  EXPECT_EQ(FormatClock(760), "12:40");
  EXPECT_EQ(FormatClock(11109), "3:05:09");
  EXPECT_EQ(FormatClock(-1), "?");
  EXPECT_EQ(FormatClock(std::numeric_limits<double>::infinity()), "?");
  EXPECT_EQ(FormatClock(std::numeric_limits<double>::quiet_NaN()), "?");
}

TEST(FormatNumber, KeepsThreeDigits) {
  EXPECT_EQ(FormatNumber(0), "0");
  EXPECT_EQ(FormatNumber(0.03124), "0.0312");
  EXPECT_EQ(FormatNumber(0.9996), "1.00");
  EXPECT_EQ(FormatNumber(9.996), "10.0");
  EXPECT_EQ(FormatNumber(81.26), "81.3");
  EXPECT_EQ(FormatNumber(1240), "1240");
  EXPECT_EQ(FormatNumber(-2.5), "-2.50");
  EXPECT_EQ(FormatNumber(1.5e-7), "1.50e-07");
  EXPECT_EQ(FormatNumber(std::numeric_limits<double>::infinity()), "inf");
}

TEST(FormatCount, KnowsOneFromMany) {
  EXPECT_EQ(FormatCount(1, "worker"), "1 worker");
  EXPECT_EQ(FormatCount(0, "step"), "0 steps");
  EXPECT_EQ(FormatCount(1'000'000, "step"), "1000000 steps");
}

TEST(FormatPercent, IsOfAShare) {
  EXPECT_EQ(FormatPercent(0.97125), "97.12 %");
  EXPECT_EQ(FormatPercent(1), "100.00 %");
}

}  // namespace
}  // namespace terse
