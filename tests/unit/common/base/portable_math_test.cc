#include "common/base/portable_math.h"

#include <cmath>
#include <limits>
#include <numbers>

#include "gtest/gtest.h"

namespace terse {
namespace {

TEST(PortablePowerTest, ByHand) {
  EXPECT_EQ(PortablePower(0.5, 0), 1);
  EXPECT_EQ(PortablePower(0, 0), 1);
  EXPECT_EQ(PortablePower(0, 5), 0);
  EXPECT_EQ(PortablePower(3, 13), 1594323);
  EXPECT_NEAR(PortablePower(0.999, 1000000), std::pow(0.999, 1e6), 1e-300);
}

TEST(PortableExpTest, AgreesWithTheLibrary) {
  for (double x = -700; x < 700; x += 0.37) {
    EXPECT_NEAR(PortableExp(x) / std::exp(x), 1, 1e-15) << x;
  }
  EXPECT_EQ(PortableExp(0), 1);
  EXPECT_EQ(PortableExp(-1000), 0);
  EXPECT_EQ(PortableExp(1000), std::numeric_limits<double>::infinity());
  EXPECT_TRUE(std::isnan(PortableExp(std::nan(""))));
}

TEST(PortableLogTest, AgreesWithTheLibrary) {
  for (double x = 1e-300; x < 1e300; x *= 1.7) {
    EXPECT_NEAR(PortableLog(x), std::log(x), 1e-15 * std::abs(std::log(x)))
        << x;
  }
  for (double x = 0.5; x < 2; x += 0.001) {
    EXPECT_NEAR(PortableLog(x), std::log(x), 2e-16) << x;
  }
  EXPECT_EQ(PortableLog(1), 0);
}

TEST(PortableCosPiTest, AgreesWithTheLibrary) {
  for (double x = 0; x <= 1; x += 0.001) {
    EXPECT_NEAR(PortableCosPi(x), std::cos(std::numbers::pi * x), 5e-16) << x;
  }
  EXPECT_EQ(PortableCosPi(0), 1);
  EXPECT_EQ(PortableCosPi(0.5), 0);
  EXPECT_EQ(PortableCosPi(1), -1);
}

}  // namespace
}  // namespace terse
