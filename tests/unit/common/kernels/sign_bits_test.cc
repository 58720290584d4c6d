#include "common/kernels/sign_bits.h"

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "common/base/random.h"
#include "common/kernels/target.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace terse {
namespace {

using ::testing::ElementsAre;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

std::vector<float> Values(size_t count) {
  std::vector<float> values(count);
  for (size_t i = 0; i < count; ++i) {
    values[i] = i % 13 == 4   ? 0.0f
                : i % 17 == 5 ? -0.0f
                : i % 19 == 6 ? kNan
                              : 3 * RandomUnit(1, i) - 1.5f;
  }
  return values;
}

class SignBits : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override { ASSERT_TRUE(ForceKernelTarget(GetParam())); }
  void TearDown() override { ASSERT_TRUE(ForceKernelTarget("auto")); }
};

TEST_P(SignBits, EqualsTheReferenceAtEverySizeAndOffset) {
  const std::vector<float> values = Values(300);
  for (size_t count = 0; count < 280;
       count = count < 80 ? count + 1 : count + 21) {
    for (size_t offset : {0, 1, 3}) {
      // One guard byte and one guard element show writes past the end.
      std::vector<uint8_t> bits(SignBytes(count) + 1, 0xab), expected = bits;
      PackSigns(values.data() + offset, count, bits.data());
      reference::PackSigns(values.data() + offset, count, expected.data());
      EXPECT_EQ(bits, expected) << count;

      const uint64_t first = (uint64_t{1} << 32) - 100 * offset;
      PackStochasticSigns(values.data() + offset, count, 77, first,
                          bits.data());
      reference::PackStochasticSigns(values.data() + offset, count, 77, first,
                                     expected.data());
      EXPECT_EQ(bits, expected) << count;

      std::vector<float> target(count + 1 + offset, 7), plain = target;
      UnpackSigns(bits.data(), count, 0.25f, target.data() + offset);
      reference::UnpackSigns(bits.data(), count, 0.25f, plain.data() + offset);
      EXPECT_EQ(target, plain) << count;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Targets, SignBits,
                         ::testing::ValuesIn(KernelTargetNames()),
                         [](const auto& info) { return info.param; });

TEST(SignBitsReference, ByHand) {
  const std::vector<float> values = {1, -1, 0, -0.0f, kNan, -2, 3, 4, -1, 5};
  uint8_t bits[2];
  reference::PackSigns(values.data(), values.size(), bits);
  EXPECT_THAT(bits, ElementsAre(0b11001101, 0b10));
  std::vector<float> target(10);
  reference::UnpackSigns(bits, 10, 2, target.data());
  EXPECT_THAT(target, ElementsAre(2, -2, 2, 2, -2, -2, 2, 2, -2, 2));
}

TEST(SignBitsReference, StochasticDrawsByTheProbability) {
  // u < p: never at -1, always at 1, else by the draw of the element's index.
  const std::vector<float> values = {-1, 1, -3, 3, kNan};
  for (uint64_t key = 0; key < 50; ++key) {
    uint8_t bits;
    reference::PackStochasticSigns(values.data(), 5, key, 9, &bits);
    EXPECT_EQ(bits, 0b01010);
    const float half = 0.5f;
    reference::PackStochasticSigns(&half, 1, key, 3, &bits);
    EXPECT_EQ(bits, RandomUnit(key, 3) < 0.75f);
  }
}

}  // namespace
}  // namespace terse
