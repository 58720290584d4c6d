#include "common/kernels/natural.h"

#include <limits>

#include "common/kernels/pack.h"
#include "tests/unit/common/kernels/kernel_test_util.h"

namespace terse {
namespace {

TEST(NaturalTest, SameOnAllTargets) {
  OnAllTargets([](size_t size, size_t offset) {
    const auto values = TestValues(size, 61);
    const auto start = TestValues(size, 62);
    for (uint64_t first : {uint64_t{5}, (uint64_t{1} << 32) - 3}) {
      auto expected_loss = start;
      std::vector<uint8_t> expected(PackedCodeBytes(size, kNaturalBits));
      ASSERT_TRUE(reference::EncodeNatural(values.data(), size, 3, first,
                                           expected_loss.data(),
                                           expected.data()));
      Misaligned<float> input(values, offset);
      Misaligned<float> residual(start, offset);
      Misaligned<uint8_t> packed(expected.size(), offset);
      ASSERT_TRUE(EncodeNatural(input.data(), size, 3, first, residual.data(),
                                packed.data()));
      ASSERT_EQ(packed.Copy(), expected);
      ASSERT_EQ(BitsOf(residual.Copy()), BitsOf(expected_loss));
      ASSERT_TRUE(NaturalCodesAreValid(packed.data(), size));

      auto sum = start;
      Misaligned<float> target(start, offset);
      reference::DecodeAddNatural(expected.data(), size, 0.7f, sum.data());
      DecodeAddNatural(packed.data(), size, 0.7f, target.data());
      ASSERT_EQ(BitsOf(target.Copy()), BitsOf(sum));

      reference::EncodeNatural(values.data(), size, 3, first, nullptr,
                               expected.data());
      EncodeNatural(input.data(), size, 3, first, nullptr, packed.data());
      ASSERT_EQ(packed.Copy(), expected);
    }
  });
}

TEST(NaturalTest, AlwaysAPowerOfTwoAroundTheValue) {
  const auto values = TestValues(5000, 63);
  std::vector<uint8_t> packed(PackedCodeBytes(values.size(), kNaturalBits));
  ASSERT_TRUE(EncodeNatural(values.data(), values.size(), 9, 0, nullptr,
                            packed.data()));
  std::vector<float> decoded(values.size());
  DecodeAddNatural(packed.data(), values.size(), 1.0f, decoded.data());
  for (size_t i = 0; i < values.size(); ++i) {
    const double x = std::fabs(values[i]);
    const double power = std::fabs(decoded[i]);
    if (x < 0x1p-126) {
      EXPECT_TRUE(power == 0 || (x > 0 && power == 0x1p-126)) << values[i];
      continue;
    }
    int exponent = 0;
    EXPECT_EQ(std::frexp(power, &exponent), 0.5);
    EXPECT_GT(power, x / 2);
    EXPECT_LT(power, x * 2);
    EXPECT_EQ(std::signbit(decoded[i]), std::signbit(values[i]));
  }
}

TEST(NaturalTest, PowersOfTwoAreExactAndTheLargestSaturate) {
  for (uint64_t key = 0; key < 100; ++key) {
    const std::vector<float> values = {1.0f, -0x1p-126f, 0x1p127f, 0.0f,
                                       std::numeric_limits<float>::max()};
    std::vector<uint8_t> packed(PackedCodeBytes(values.size(), kNaturalBits));
    ASSERT_TRUE(EncodeNatural(values.data(), values.size(), key, 0, nullptr,
                              packed.data()));
    std::vector<float> decoded(values.size());
    DecodeAddNatural(packed.data(), values.size(), 1.0f, decoded.data());
    EXPECT_EQ(decoded,
              (std::vector<float>{1.0f, -0x1p-126f, 0x1p127f, 0.0f, 0x1p127f}));
  }
}

TEST(NaturalTest, RefusesExponent255AndReportsNan) {
  OnAllTargets([](size_t size, size_t offset) {
    if (size == 0) return;
    auto values = TestValues(size, 64);
    Misaligned<uint8_t> packed(PackedCodeBytes(size, kNaturalBits), offset);
    values[size / 2] = std::numeric_limits<float>::infinity();
    ASSERT_FALSE(
        EncodeNatural(values.data(), size, 1, 0, nullptr, packed.data()));
    Misaligned<uint8_t> ones(
        std::vector<uint8_t>(PackedCodeBytes(size, kNaturalBits), 0xff),
        offset);
    ASSERT_FALSE(NaturalCodesAreValid(ones.data(), size));
  });
}

}  // namespace
}  // namespace terse
