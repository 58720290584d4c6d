#include "common/kernels/level_sum.h"

#include <algorithm>
#include <limits>

#include "common/kernels/pack.h"
#include "common/kernels/ternary.h"
#include "tests/unit/common/kernels/kernel_test_util.h"

namespace terse {
namespace {

std::vector<uint8_t> SomeTrits(size_t count, uint64_t key) {
  std::vector<uint8_t> packed(PackedTritBytes(count));
  for (size_t i = 0; i < packed.size(); ++i) {
    packed[i] = RandomBits(key, i) % kTritCodes;
  }
  return packed;
}

template <typename Sum>
std::vector<Sum> SomeSums(size_t count, uint32_t max) {
  std::vector<Sum> sums(count);
  for (size_t i = 0; i < count; ++i) {
    sums[i] = static_cast<Sum>(
        static_cast<int64_t>(RandomBits(7, i)) % (2 * int64_t{max} + 1) - max);
    if (i % 7 == 0)
      sums[i] = static_cast<Sum>(i % 2 == 0 ? max : -int64_t{max});
  }
  return sums;
}

template <typename Sum>
void ExpectAddsTrits(size_t size, size_t offset) {
  const std::vector<uint8_t> packed = SomeTrits(size, 3);
  const std::vector<Sum> start = SomeSums<Sum>(size, 100);
  std::vector<Sum> expected = start;
  reference::AddTernary(packed.data(), size, expected.data());
  // The reference is the float decoder's.
  std::vector<float> floats(start.begin(), start.end());
  reference::DecodeAddTernary(packed.data(), size, 1, floats.data());
  for (size_t i = 0; i < size; ++i) ASSERT_EQ(expected[i], floats[i]);

  Misaligned<uint8_t> source(packed, offset);
  Misaligned<Sum> sums(start, offset);
  AddTernary(source.data(), size, sums.data());
  ASSERT_EQ(sums.Copy(), expected);
}

TEST(LevelSumTest, AddsTritsAsTheReferenceOnAllTargets) {
  OnAllTargets([](size_t size, size_t offset) {
    ExpectAddsTrits<int8_t>(size, offset);
    ExpectAddsTrits<int16_t>(size, offset);
    ExpectAddsTrits<int32_t>(size, offset);
  });
}

template <typename Sum>
void ExpectAddsCodes(size_t size, size_t offset, uint32_t bits) {
  std::vector<uint8_t> packed(PackedCodeBytes(size, bits));
  std::vector<Sum> start(size), expected(size);
  std::vector<uint16_t> codes(size);
  for (size_t i = 0; i < size; ++i) {
    start[i] = static_cast<Sum>(i % 7);
    codes[i] = static_cast<uint16_t>(Mix64(i) >> 40 & ((1u << bits) - 1));
  }
  const uint32_t zero = (1u << bits) / 2;
  for (size_t i = 0; i < size; ++i) {
    expected[i] = static_cast<Sum>(start[i] + codes[i] - zero);
  }
  const std::vector<uint8_t> narrow(codes.begin(), codes.end());
  for (size_t first = 0; first < size; first += kPackGroup) {
    uint8_t* const target = packed.data() + PackedCodeBytes(first, bits);
    const size_t run = std::min(kPackGroup, size - first);
    const bool whole = run == kPackGroup;
    if (bits <= 8) {
      whole ? reference::PackGroup(narrow.data() + first, bits, target)
            : reference::PackRest(narrow.data() + first, run, bits, target);
    } else {
      whole ? reference::PackGroup(codes.data() + first, bits, target)
            : reference::PackRest(codes.data() + first, run, bits, target);
    }
  }
  Misaligned<uint8_t> source(packed, offset);
  Misaligned<Sum> sums(start, offset);
  AddCodes(source.data(), size, bits, zero, sums.data());
  ASSERT_EQ(sums.Copy(), expected) << bits;
}

TEST(LevelSumTest, AddsCodesAsTheReferenceOnAllTargets) {
  OnAllTargets([](size_t size, size_t offset) {
    for (uint32_t bits : {1u, 3u, 4u, 7u}) {
      ExpectAddsCodes<int8_t>(size, offset, bits);
    }
    for (uint32_t bits : {1u, 5u, 8u, 9u, 14u}) {
      ExpectAddsCodes<int16_t>(size, offset, bits);
    }
    for (uint32_t bits : {2u, 8u, 10u, 16u}) {
      ExpectAddsCodes<int32_t>(size, offset, bits);
    }
  });
}

template <typename Sum>
void ExpectPacks(size_t size, size_t offset, uint32_t max) {
  const uint32_t bits = CodeBits(2 * max);
  const std::vector<Sum> sums = SomeSums<Sum>(size, max);
  std::vector<uint8_t> expected(PackedSumBytes(size, bits));
  reference::PackSums(sums.data(), size, max, bits, expected.data());
  Misaligned<Sum> source(sums, offset);
  Misaligned<uint8_t> packed(expected.size(), offset);
  PackSums(source.data(), size, max, bits, packed.data());
  ASSERT_EQ(packed.Copy(), expected);
  ASSERT_TRUE(SumsAreValid(packed.data(), size, bits, 2 * max));

  const float step = 0.37f;
  Misaligned<float> values(std::vector<float>(size, 99.0f), offset);
  UnpackSums(packed.data(), size, bits, static_cast<float>(max) + 0.5f, step,
             values.data());
  std::vector<float> scaled(size);
  ScaleSums(sums.data(), size, -0.5f, step, scaled.data());
  ASSERT_EQ(BitsOf(values.Copy()), BitsOf(scaled));
  for (size_t i = 0; i < size; ++i) {
    ASSERT_EQ(scaled[i], (static_cast<float>(sums[i]) - 0.5f) * step);
  }
}

TEST(LevelSumTest, PacksAndUnpacksAsTheReferenceOnAllTargets) {
  OnAllTargets([](size_t size, size_t offset) {
    for (uint32_t max : {1u, 2u, 3u, 64u, 127u}) {
      ExpectPacks<int8_t>(size, offset, max);
    }
    for (uint32_t max : {128u, 1000u, 32767u}) {
      ExpectPacks<int16_t>(size, offset, max);
    }
    for (uint32_t max : {32768u, 1000000u, (1u << 23) - 1}) {
      ExpectPacks<int32_t>(size, offset, max);
    }
  });
}

TEST(LevelSumTest, RefusesSumsBeyondTheTopAndPadding) {
  for (uint32_t max : {1u, 2u, 1000u, 40000u, 9000000u}) {
    const uint32_t bits = CodeBits(2 * max);
    for (size_t count : {size_t{3}, size_t{513}, size_t{1024}}) {
      for (size_t bad : {size_t{0}, count / 2, count - 1}) {
        std::vector<int32_t> sums = SomeSums<int32_t>(count, max);
        std::vector<uint8_t> packed(PackedSumBytes(count, bits));
        sums[bad] = static_cast<int32_t>(max) + 1;
        reference::PackSums(sums.data(), count, max, bits, packed.data());
        EXPECT_FALSE(SumsAreValid(packed.data(), count, bits, 2 * max))
            << max << " " << count << " " << bad;
        EXPECT_TRUE(SumsAreValid(packed.data(), count, bits, 2 * max + 1))
            << max << " " << count << " " << bad;
      }
    }
    const size_t count = 3;
    const uint32_t last_bits = bits > 16 ? bits - 16 : bits;
    if (count * last_bits % 8 == 0) continue;
    const std::vector<int32_t> sums = SomeSums<int32_t>(count, max);
    std::vector<uint8_t> packed(PackedSumBytes(count, bits));
    reference::PackSums(sums.data(), count, max, bits, packed.data());
    packed.back() |= 0x80;
    EXPECT_FALSE(SumsAreValid(packed.data(), count, bits, 2 * max)) << max;
  }
}

}  // namespace
}  // namespace terse
