#include "common/checkpoint/network_weights.h"

#include <bit>
#include <cstring>
#include <vector>

#include "common/base/random.h"
#include "gtest/gtest.h"

namespace terse {
namespace {

// The reader of README.md, in words of this language.
std::vector<float> Unpack(const PackedValues& packed, size_t count) {
  std::vector<float> values;
  for (size_t i = 0; i < count; ++i) {
    uint32_t code = 0;
    for (uint32_t b = 0; b < packed.bits; ++b) {
      const size_t bit = i * packed.bits + b;
      code |= ((packed.codes[bit / 8] >> (bit % 8)) & 1u) << b;
    }
    const size_t group = i / (count / packed.groups);
    values.push_back(packed.tables[(group << packed.bits) + code]);
  }
  return values;
}

void ExpectSameBits(const std::vector<float>& a, const std::vector<float>& b) {
  ASSERT_EQ(a.size(), b.size());
  EXPECT_EQ(std::memcmp(a.data(), b.data(), a.size() * sizeof(float)), 0);
}

TEST(PackValuesTest, ValuesComeBackBitForBit) {
  for (const uint32_t distinct : {1, 2, 3, 4, 9, 200}) {
    std::vector<float> values(20000);
    for (size_t i = 0; i < values.size(); ++i) {
      values[i] =
          0.37f * static_cast<float>(RandomBits(distinct, i) % distinct) - 1;
    }
    const PackedValues packed = PackValues(values, 10);
    EXPECT_EQ(packed.bits, distinct <= 2 ? 1 : std::bit_width(distinct - 1));
    EXPECT_EQ(packed.groups, 1u);
    ExpectSameBits(Unpack(packed, values.size()), values);
  }
}

TEST(PackValuesTest, ScalesOfRowsGetTablesOfTheirOwn) {
  std::vector<float> values(40 * 500);
  for (size_t i = 0; i < values.size(); ++i) {
    const float scale = 1.0f / static_cast<float>(1 + i / 500);
    values[i] = RandomBits(5, i) % 2 == 0 ? scale : -scale;
  }
  const PackedValues packed = PackValues(values, 40);
  EXPECT_EQ(packed.bits, 1u);
  EXPECT_EQ(packed.groups, 40u);
  ExpectSameBits(Unpack(packed, values.size()), values);
}

TEST(PackValuesTest, BothZerosStayApart) {
  std::vector<float> values(64, 0.0f);
  values[3] = -0.0f;
  ExpectSameBits(Unpack(PackValues(values, 1), values.size()), values);
}

TEST(PackValuesTest, WhatHasNoFewValuesStaysAsItIs) {
  std::vector<float> values(1000);
  for (size_t i = 0; i < values.size(); ++i) values[i] = RandomUnit(1, i);
  EXPECT_EQ(PackValues(values, 10).bits, 0u);
}

}  // namespace
}  // namespace terse
