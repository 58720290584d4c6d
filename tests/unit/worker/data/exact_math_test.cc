#include "worker/data/exact_math.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

namespace terse {
namespace {

TEST(SinCosTurns, AgreesWithTheLibrary) {
  for (int i = -4000; i <= 4000; ++i) {
    const float turns = static_cast<float>(i) / 1000;
    const double angle = double{turns} * 2 * std::numbers::pi;
    const SinCos result = SinCosTurns(turns);
    ASSERT_NEAR(result.sin, std::sin(angle), 1e-5) << turns;
    ASSERT_NEAR(result.cos, std::cos(angle), 1e-5) << turns;
  }
}

TEST(NaturalLog, AgreesWithTheLibrary) {
  for (int i = 1; i <= 5000; ++i) {
    const float x = static_cast<float>(i) / 1000;
    const double expected = std::log(double{x});
    ASSERT_NEAR(NaturalLog(x), expected, 2e-7 * (1 + std::abs(expected))) << x;
  }
  EXPECT_EQ(NaturalLog(1), 0);
  EXPECT_NEAR(NaturalLog(0x1p-24f), -24 * std::numbers::ln2, 2e-6);
}

}  // namespace
}  // namespace terse
