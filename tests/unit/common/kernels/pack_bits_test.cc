#include "common/kernels/pack_bits.h"

#include <vector>

#include "common/base/random.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace terse {
namespace {

using ::testing::ElementsAre;

// Bit by bit.
std::vector<uint8_t> PlainPack(const std::vector<uint8_t>& codes, int bits) {
  std::vector<uint8_t> packed((codes.size() * bits + 7) / 8);
  for (size_t i = 0; i < codes.size() * bits; ++i) {
    packed[i / 8] |= (codes[i / bits] >> i % bits & 1) << i % 8;
  }
  return packed;
}

TEST(PackBitsTest, ByHand) {
  const uint8_t codes[] = {0b101, 0b010, 0b111, 0b001};
  uint8_t packed[2];
  PackBits(codes, 4, 3, packed);
  EXPECT_THAT(packed, ElementsAre(0b11010101, 0b0011));
}

TEST(PackBitsTest, EveryWidthAndSize) {
  for (int bits = 1; bits <= 8; ++bits) {
    for (size_t count = 0; count < 70; ++count) {
      std::vector<uint8_t> codes(count);
      for (size_t i = 0; i < count; ++i) {
        codes[i] = RandomBits(bits, i) >> (32 - bits);
      }
      // A guard byte shows writes past the end.
      std::vector<uint8_t> packed(PackedBytes(count, bits) + 1, 0xcd);
      PackBits(codes.data(), count, bits, packed.data());
      EXPECT_EQ(packed.back(), 0xcd);
      packed.pop_back();
      EXPECT_EQ(packed, PlainPack(codes, bits)) << bits << " " << count;
      EXPECT_TRUE(PaddingIsZero(packed.data(), count, bits));

      std::vector<uint8_t> unpacked(count + 1, 0xef);
      UnpackBits(packed.data(), count, bits, unpacked.data());
      EXPECT_EQ(unpacked.back(), 0xef);
      unpacked.pop_back();
      EXPECT_EQ(unpacked, codes) << bits << " " << count;
    }
  }
}

TEST(PackBitsTest, SeesEveryPaddingBit) {
  for (int bits = 1; bits <= 8; ++bits) {
    for (size_t count = 1; count < 20; ++count) {
      std::vector<uint8_t> packed(PackedBytes(count, bits));
      for (size_t bit = count * bits; bit < packed.size() * 8; ++bit) {
        packed[bit / 8] = 1 << bit % 8;
        EXPECT_FALSE(PaddingIsZero(packed.data(), count, bits));
        packed[bit / 8] = 0;
      }
      packed.back() = (1 << ((count * bits - 1) % 8 + 1)) - 1;
      EXPECT_TRUE(PaddingIsZero(packed.data(), count, bits));
    }
  }
}

}  // namespace
}  // namespace terse
