#include "common/kernels/select.h"

#include <limits>

#include "tests/unit/common/kernels/kernel_test_util.h"

namespace terse {
namespace {

TEST(SelectTest, SameOnAllTargets) {
  OnAllTargets([](size_t size, size_t offset) {
    auto values = TestValues(size, 51);
    if (size > 4) values[size / 2] = std::numeric_limits<float>::quiet_NaN();
    const auto residual = TestValues(size, 52);
    for (uint32_t threshold :
         {0u, 1u, std::bit_cast<uint32_t>(1.0f), 0x7f800000u, 0x7fffffffu}) {
      std::vector<uint32_t> expected(size + kSelectSlack);
      expected.resize(reference::SelectAtLeast(values.data(), size, nullptr,
                                               threshold, expected.data()));
      Misaligned<float> input(values, offset);
      std::vector<uint32_t> found(size + kSelectSlack);
      found.resize(
          SelectAtLeast(input.data(), size, nullptr, threshold, found.data()));
      ASSERT_EQ(found, expected);

      auto sum = residual;
      expected.resize(size + kSelectSlack);
      expected.resize(reference::SelectAtLeast(values.data(), size, sum.data(),
                                               threshold, expected.data()));
      Misaligned<float> misaligned_sum(residual, offset);
      found.resize(size + kSelectSlack);
      found.resize(SelectAtLeast(input.data(), size, misaligned_sum.data(),
                                 threshold, found.data()));
      ASSERT_EQ(found, expected);
      ASSERT_EQ(BitsOf(misaligned_sum.Copy()), BitsOf(sum));
    }
  });
}

}  // namespace
}  // namespace terse
