#include "common/kernels/pack.h"

#include "tests/unit/common/kernels/kernel_test_util.h"

namespace terse {
namespace {

template <typename Code>
void ExpectSameOnAllTargets(uint32_t bits) {
  OnAllTargets([bits](size_t size, size_t offset) {
    std::vector<Code> codes(size);
    for (size_t i = 0; i < size; ++i) {
      codes[i] = static_cast<Code>(RandomBits(81, i) >> (32 - bits));
    }
    std::vector<uint8_t> expected(PackedCodeBytes(size, bits));
    const size_t groups = size / kPackGroup;
    for (size_t g = 0; g < groups; ++g) {
      reference::PackGroup(
          codes.data() + g * kPackGroup, bits,
          expected.data() + g * PackedCodeBytes(kPackGroup, bits));
    }
    reference::PackRest(
        codes.data() + groups * kPackGroup, size % kPackGroup, bits,
        expected.data() + groups * PackedCodeBytes(kPackGroup, bits));
    Misaligned<Code> input(codes, offset);
    Misaligned<uint8_t> packed(expected.size(), offset);
    PackAll(input.data(), size, bits, packed.data());
    ASSERT_EQ(packed.Copy(), expected) << bits;

    Misaligned<Code> unpacked(size, offset);
    UnpackAll(packed.data(), size, bits, unpacked.data());
    ASSERT_EQ(unpacked.Copy(), codes) << bits;
  });
}

TEST(PackTest, SameOnAllTargets) {
  for (uint32_t bits = 1; bits <= 8; ++bits) {
    ExpectSameOnAllTargets<uint8_t>(bits);
  }
  for (uint32_t bits = 9; bits <= 16; ++bits) {
    ExpectSameOnAllTargets<uint16_t>(bits);
  }
}

}  // namespace
}  // namespace terse
