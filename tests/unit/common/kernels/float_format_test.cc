#include "common/kernels/float_format.h"

#include <limits>

#include "tests/unit/common/kernels/kernel_test_util.h"

namespace terse {
namespace {

constexpr FloatFormat kFormats[] = {
    FloatFormat::kBinary32, FloatFormat::kBinary16, FloatFormat::kBfloat16};

TEST(FloatFormatTest, SameOnAllTargets) {
  for (FloatFormat format : kFormats) {
    OnAllTargets([format](size_t size, size_t offset) {
      auto values = TestValues(size, 41);
      for (size_t i = 0; i < size; i += 5) values[i] *= 3e5f;
      const size_t bytes = size * FloatFormatBytes(format);
      std::vector<uint8_t> expected(bytes);
      auto expected_loss = TestValues(size, 42);
      Misaligned<float> input(values, offset);
      Misaligned<float> residual(expected_loss, offset);
      Misaligned<uint8_t> coded(bytes, offset);
      ASSERT_TRUE(reference::EncodeFloats(
          format, values.data(), size, expected_loss.data(), expected.data()));
      ASSERT_TRUE(EncodeFloats(format, input.data(), size, residual.data(),
                               coded.data()));
      ASSERT_EQ(coded.Copy(), expected);
      ASSERT_EQ(BitsOf(residual.Copy()), BitsOf(expected_loss));

      auto sum = TestValues(size, 43);
      Misaligned<float> target(sum, offset);
      reference::DecodeAddFloats(format, expected.data(), size, 0.3f,
                                 sum.data());
      DecodeAddFloats(format, coded.data(), size, 0.3f, target.data());
      ASSERT_EQ(BitsOf(target.Copy()), BitsOf(sum));
      ASSERT_TRUE(AllFloatsFinite(format, coded.data(), size));

      reference::EncodeFloats(format, values.data(), size, nullptr,
                              expected.data());
      EncodeFloats(format, input.data(), size, nullptr, coded.data());
      ASSERT_EQ(coded.Copy(), expected);
    });
  }
}

TEST(FloatFormatTest, NonFiniteIsSeenOnAllTargets) {
  for (FloatFormat format : kFormats) {
    OnAllTargets([format](size_t size, size_t offset) {
      if (size == 0) return;
      for (float bad : {std::numeric_limits<float>::quiet_NaN(),
                        -std::numeric_limits<float>::infinity()}) {
        auto values = TestValues(size, 44);
        values[size / 2] = bad;
        Misaligned<float> input(values, offset);
        Misaligned<uint8_t> coded(size * FloatFormatBytes(format), offset);
        ASSERT_FALSE(
            EncodeFloats(format, input.data(), size, nullptr, coded.data()));
      }
      std::vector<uint8_t> infinite(size * FloatFormatBytes(format));
      infinite[infinite.size() - 1] = 0x7f;
      infinite[infinite.size() - 2] = 0x80;
      if (format == FloatFormat::kBinary16) {
        infinite[infinite.size() - 1] = 0x7c;
      }
      Misaligned<uint8_t> source(infinite, offset);
      ASSERT_FALSE(AllFloatsFinite(format, source.data(), size));
    });
  }
}

uint32_t Half(float x) {
  return reference::FloatToFormat(FloatFormat::kBinary16, x);
}

TEST(FloatFormatTest, Binary16RoundsHalfToEven) {
  EXPECT_EQ(Half(0.0f), 0u);
  EXPECT_EQ(Half(-0.0f), 0x8000u);
  EXPECT_EQ(Half(1.0f), 0x3c00u);
  EXPECT_EQ(Half(-2.0f), 0xc000u);
  EXPECT_EQ(Half(1.0f + 0x1p-11f), 0x3c00u);      // A tie, down to even.
  EXPECT_EQ(Half(1.0f + 3 * 0x1p-11f), 0x3c02u);  // A tie, up to even.
  EXPECT_EQ(Half(1.0f + 0x1.1p-11f), 0x3c01u);
  EXPECT_EQ(Half(0x1p-14f), 0x0400u);      // Smallest normal.
  EXPECT_EQ(Half(0x1p-24f), 0x0001u);      // Smallest subnormal.
  EXPECT_EQ(Half(0x1p-25f), 0x0000u);      // A tie with zero.
  EXPECT_EQ(Half(0x1.8p-24f), 0x0002u);    // A tie, up to even.
  EXPECT_EQ(Half(0x1.ffcp-15f), 0x0400u);  // Rounds up to a normal.
  EXPECT_EQ(Half(65504.0f), 0x7bffu);
  EXPECT_EQ(Half(65519.0f), 0x7bffu);
  EXPECT_EQ(Half(65520.0f), 0x7bffu);  // Saturates, never infinite.
  EXPECT_EQ(Half(-1e30f), 0xfbffu);
}

TEST(FloatFormatTest, Binary16RoundTripsEveryFiniteValue) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    if ((bits & 0x7c00) == 0x7c00) continue;
    ASSERT_EQ(Half(reference::FormatToFloat(FloatFormat::kBinary16, bits)),
              bits);
  }
}

TEST(FloatFormatTest, Binary16TakesTheNearest) {
  for (uint64_t i = 0; i < 200000; ++i) {
    const float x = std::bit_cast<float>(RandomBits(4, i) % 0x477fe000u);
    const uint32_t bits = Half(x);
    const double error = std::fabs(
        double{x} - reference::FormatToFloat(FloatFormat::kBinary16, bits));
    for (uint32_t neighbour : {bits - 1, bits + 1}) {
      if (neighbour > 0x7bffu) continue;
      const double other =
          std::fabs(double{x} - reference::FormatToFloat(FloatFormat::kBinary16,
                                                         neighbour));
      ASSERT_TRUE(error < other || (error == other && bits % 2 == 0)) << x;
    }
  }
}

TEST(FloatFormatTest, Bfloat16RoundsHalfToEvenAndSaturates) {
  const auto bf16 = [](float x) {
    return reference::FloatToFormat(FloatFormat::kBfloat16, x);
  };
  EXPECT_EQ(bf16(1.0f), 0x3f80u);
  EXPECT_EQ(bf16(std::bit_cast<float>(0x3f808000u)), 0x3f80u);
  EXPECT_EQ(bf16(std::bit_cast<float>(0x3f818000u)), 0x3f82u);
  EXPECT_EQ(bf16(std::bit_cast<float>(0x3f808001u)), 0x3f81u);
  EXPECT_EQ(bf16(std::numeric_limits<float>::max()), 0x7f7fu);
  EXPECT_EQ(bf16(-std::numeric_limits<float>::max()), 0xff7fu);
  EXPECT_EQ(bf16(1e-45f), 0x0000u);
}

}  // namespace
}  // namespace terse
