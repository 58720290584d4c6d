#include "common/kernels/terms.h"

#include "tests/unit/common/kernels/kernel_test_util.h"

namespace terse {
namespace {

TEST(TermsTest, SameOnAllTargets) {
  OnAllTargets([](size_t size, size_t offset) {
    for (int bits : {3, 8, 15}) {
      std::vector<int16_t> levels(size);
      for (size_t i = 0; i < size; ++i) {
        const int magnitude = RandomBits(71, i) >> (32 - bits);
        levels[i] = static_cast<int16_t>(RandomBits(72, i) & 1 ? magnitude
                                                               : -magnitude);
      }
      for (size_t group : {1, 3, 8, 512}) {
        for (uint32_t terms : {0u, 1u, 12u, 8192u}) {
          auto expected = levels;
          reference::KeepTerms(terms, group, expected);
          Misaligned<int16_t> kept(levels, offset);
          KeepTerms(terms, group, {kept.data(), size});
          ASSERT_EQ(kept.Copy(), expected) << group << " " << terms;
        }
      }
    }
  });
}

}  // namespace
}  // namespace terse
