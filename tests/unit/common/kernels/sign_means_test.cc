#include "common/kernels/sign_means.h"

#include <cmath>

#include "common/kernels/pack.h"
#include "tests/unit/common/kernels/kernel_test_util.h"

namespace terse {
namespace {

TEST(SignMeansTest, SameOnAllTargets) {
  OnAllTargets([](size_t size, size_t offset) {
    const auto values = TestValues(size, 61);
    const SignMeans expected = reference::MeansBySign(values.data(), size);
    Misaligned<float> input(values, offset);
    const SignMeans means = MeansBySign(input.data(), size);
    ASSERT_EQ(BitsOf({means.negative, means.positive}),
              BitsOf({expected.negative, expected.positive}));

    auto left = values;
    reference::SubtractSignMeans(means, left.data(), size);
    SubtractSignMeans(means, input.data(), size);
    ASSERT_EQ(BitsOf(input.Copy()), BitsOf(left));
  });
}

TEST(SignMeansTest, AddsTheSameOnAllTargets) {
  OnAllTargets([](size_t size, size_t offset) {
    std::vector<uint8_t> codes(size);
    for (size_t i = 0; i < size; ++i) codes[i] = RandomBits(62, i) & 1;
    std::vector<uint8_t> packed(PackedCodeBytes(size, 1));
    PackAll(codes.data(), size, 1, packed.data());
    for (size_t bucket : {40, 64, 512, 100000}) {
      const auto means =
          TestValues(2 * ((size + bucket - 1) / bucket), 63 + bucket);
      std::vector<uint8_t> mean_bytes(means.size() * sizeof(float));
      if (!means.empty()) {
        std::memcpy(mean_bytes.data(), means.data(), mean_bytes.size());
      }
      const auto target = TestValues(size, 64);
      auto expected = target;
      for (size_t i = 0; i < size; ++i) {
        const float mean = means[2 * (i / bucket) + codes[i]];
        expected[i] += (codes[i] != 0 ? mean : -mean) * 0.3f;
      }
      Misaligned<uint8_t> misaligned(packed, offset);
      Misaligned<float> sum(target, offset);
      AddSignMeans(mean_bytes.data(), misaligned.data(), bucket, size, 0.3f,
                   sum.data());
      ASSERT_EQ(BitsOf(sum.Copy()), BitsOf(expected)) << bucket;
    }
  });
}

TEST(SignMeansTest, AZeroCountsOnTheSideOfItsSign) {
  const float values[] = {-3.0f, -0.0f, 0.0f, 4.0f, 2.0f};
  const SignMeans means = MeansBySign(values, 5);
  EXPECT_EQ(means.negative, 1.5f);
  EXPECT_EQ(means.positive, 2.0f);
  EXPECT_EQ(MeansBySign(values, 1).positive, 0.0f);
  EXPECT_EQ(MeansBySign(values, 0).negative, 0.0f);
}

}  // namespace
}  // namespace terse
