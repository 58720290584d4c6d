#include "common/kernels/weight_codes.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "tests/unit/common/kernels/kernel_test_util.h"

namespace terse {
namespace {

// With a NaN, infinities and values on the edges of steps among them.
std::vector<float> Weights(size_t count) {
  std::vector<float> weights = TestValues(count, 3);
  const float specials[] = {std::numeric_limits<float>::quiet_NaN(),
                            std::numeric_limits<float>::infinity(),
                            -std::numeric_limits<float>::infinity(),
                            0.5f,
                            -0.5f,
                            1.5f,
                            -1.5f,
                            3e38f};
  for (size_t i = 0; i < count; i += 7) weights[i] = specials[i / 7 % 8];
  return weights;
}

TEST(WeightCodesTest, EqualTheReferenceOnEveryTarget) {
  const PiecewiseGrid grids[] = {{.breakpoint = 0.5f,
                                  .inner_step = 0.25f,
                                  .outer_step = 1,
                                  .inner = 2,
                                  .outer = 4},
                                 {.breakpoint = 0,
                                  .inner_step = 0,
                                  .outer_step = 0,
                                  .inner = 63,
                                  .outer = 64},
                                 {.breakpoint = 2,
                                  .inner_step = 0.1f,
                                  .outer_step = 0,
                                  .inner = 7,
                                  .outer = 8}};
  OnAllTargets([&](size_t size, size_t offset) {
    const std::vector<float> weights = Weights(size);
    Misaligned<float> source(weights, offset);
    for (const float scale : {1.0f, 0.03f, 0.0f, 1e-40f}) {
      for (const int top : {1, 7, 127}) {
        Misaligned<uint8_t> codes(size, offset);
        std::vector<uint8_t> expected(size);
        UniformCodes(source.data(), size, scale, top, codes.data());
        reference::UniformCodes(weights.data(), size, scale, top,
                                expected.data());
        ASSERT_EQ(codes.Copy(), expected);
      }
      for (const int top : {1, 3, 255}) {
        Misaligned<uint8_t> codes(size, offset);
        std::vector<uint8_t> expected(size);
        CenteredCodes(source.data(), size, scale, top, codes.data());
        reference::CenteredCodes(weights.data(), size, scale, top,
                                 expected.data());
        ASSERT_EQ(codes.Copy(), expected);
      }
    }
    for (const PiecewiseGrid& grid : grids) {
      Misaligned<uint8_t> codes(size, offset);
      std::vector<uint8_t> expected(size);
      PiecewiseCodes(source.data(), size, grid, codes.data());
      reference::PiecewiseCodes(weights.data(), size, grid, expected.data());
      ASSERT_EQ(codes.Copy(), expected);
    }
    for (const float threshold : {0.3f, 0.0f}) {
      Misaligned<float> trits(size, offset);
      std::vector<float> expected(size);
      ThresholdTrits(source.data(), size, threshold, trits.data());
      reference::ThresholdTrits(weights.data(), size, threshold,
                                expected.data());
      ASSERT_EQ(BitsOf(trits.Copy()), BitsOf(expected));
      PutScales(0.7f, -0.2f, size, trits.data());
      reference::PutScales(0.7f, -0.2f, size, expected.data());
      ASSERT_EQ(BitsOf(trits.Copy()), BitsOf(expected));
      const std::vector<float> start = TestValues(size, 4);
      Misaligned<float> gradient(start, offset);
      std::vector<float> plain = start;
      ScaleBySide(source.data(), size, threshold, 3, 0.1f, gradient.data());
      reference::ScaleBySide(weights.data(), size, threshold, 3, 0.1f,
                             plain.data());
      ASSERT_EQ(BitsOf(gradient.Copy()), BitsOf(plain));
    }
  });
}

TEST(WeightCodesTest, TheReferenceIsTheFormula) {
  const float weights[] = {-2, -0.5f, -0.49f, 0, 0.5f, 1.49f, 9, std::nanf("")};
  uint8_t codes[8];
  reference::UniformCodes(weights, 8, 1, 3, codes);
  // floor(-0.5 + 0.5) is 0, floor(0.5 + 0.5) is 1.
  const uint8_t expected[] = {1, 3, 3, 3, 4, 4, 6, 0};
  EXPECT_TRUE(std::equal(codes, codes + 8, expected));
  reference::UniformCodes(weights, 8, 0, 3, codes);
  EXPECT_TRUE(std::all_of(codes, codes + 8, [](uint8_t c) { return c == 3; }));

  // (w / 4 + 1/2) * 4: -2 is 0, -0.5 is 1.5 and goes to the even 2, 9 the last.
  reference::CenteredCodes(weights, 8, 4, 4, codes);
  const uint8_t centered[] = {0, 2, 2, 2, 2, 3, 4, 0};
  EXPECT_TRUE(std::equal(codes, codes + 8, centered));
  reference::CenteredCodes(weights, 7, 0, 4, codes);
  EXPECT_TRUE(std::all_of(codes, codes + 7, [](uint8_t c) { return c == 2; }));
}

}  // namespace
}  // namespace terse
