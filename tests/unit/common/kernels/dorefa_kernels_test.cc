#include "common/kernels/dorefa_kernels.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "common/base/random.h"
#include "common/kernels/tanh_math.h"
#include "common/kernels/target.h"
#include "gtest/gtest.h"

namespace terse {
namespace {

std::vector<float> Values(size_t count, uint64_t key) {
  std::vector<float> values(count);
  for (size_t i = 0; i < count; ++i) {
    const float unit = 2 * RandomUnit(key, i) - 1;
    values[i] = i % 7 == 2    ? unit * 12
                : i % 9 == 4  ? unit * 1e-5f
                : i % 23 == 0 ? 0
                              : unit * 2;
  }
  return values;
}

TEST(TanhElementTest, WithinSixUnitsInTheLastPlace) {
  double worst = 0;
  for (double x = 1e-30; x < 20; x *= 1.0003) {
    const float rounded = static_cast<float>(x);
    const double exact = std::tanh(double{rounded});
    const float nearest = static_cast<float>(exact);
    const double unit = std::nextafter(nearest, 2.0f) - double{nearest};
    worst = std::max(worst, std::abs(TanhElement(rounded) - exact) / unit);
    EXPECT_EQ(TanhElement(-rounded), -TanhElement(rounded));
    ASSERT_LE(TanhElement(rounded), 1);
  }
  EXPECT_LT(worst, 6);
}

TEST(TanhElementTest, Ends) {
  const float infinity = std::numeric_limits<float>::infinity();
  EXPECT_EQ(TanhElement(0), 0);
  EXPECT_TRUE(std::signbit(TanhElement(-0.0f)));
  EXPECT_NEAR(TanhElement(infinity), 1, 2e-7);
  EXPECT_NEAR(TanhElement(-infinity), -1, 2e-7);
  EXPECT_EQ(TanhElement(1e-42f), 1e-42f);
  EXPECT_TRUE(std::isnan(TanhElement(std::nanf(""))));
}

class DorefaKernels : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override { ASSERT_TRUE(ForceKernelTarget(GetParam())); }
  void TearDown() override { ASSERT_TRUE(ForceKernelTarget("auto")); }
};

TEST_P(DorefaKernels, EqualTheReferenceAtEverySize) {
  std::vector<float> weights = Values(400, 1);
  weights[5] = std::nanf("");
  const std::vector<float> gradient = Values(400, 2);
  for (size_t count = 0; count < 400;
       count = count < 70 ? count + 1 : count + 33) {
    for (int levels : {1, 3, 7, 255}) {
      std::vector<uint8_t> codes(count + 1, 99), expected = codes;
      DorefaCodes(weights.data(), count, 0.99f, levels, codes.data());
      reference::DorefaCodes(weights.data(), count, 0.99f, levels,
                             expected.data());
      EXPECT_EQ(codes, expected) << count;
      std::vector<float> values(count + 1, 7), plain = values;
      CodeLevels(codes.data(), count, levels, values.data());
      reference::CodeLevels(codes.data(), count, levels, plain.data());
      EXPECT_EQ(values, plain) << count;
    }
    // Without the NaN, which no comparison would find equal.
    const float* finite = weights.data() + 6;
    const size_t finite_count = std::min<size_t>(count, 394);
    EXPECT_EQ(TanhDot(finite, gradient.data(), finite_count),
              reference::TanhDot(finite, gradient.data(), finite_count));
    const DorefaChain chain = {1.25f, std::fabs(weights[20]), 0.3f};
    std::vector<float> turned = gradient, plain = gradient;
    ApplyDorefaChain(chain, finite, finite_count, turned.data());
    reference::ApplyDorefaChain(chain, finite, finite_count, plain.data());
    EXPECT_EQ(std::memcmp(turned.data(), plain.data(), 400 * sizeof(float)), 0)
        << count;
  }
}

INSTANTIATE_TEST_SUITE_P(Targets, DorefaKernels,
                         ::testing::ValuesIn(KernelTargetNames()),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace terse
