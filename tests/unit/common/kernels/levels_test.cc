#include "common/kernels/levels.h"

#include <limits>

#include "common/kernels/pack.h"
#include "tests/unit/common/kernels/kernel_test_util.h"

namespace terse {
namespace {

constexpr uint64_t kKey = 77;

std::vector<LevelGrid> Grids() {
  return {
      {.top = 2, .code_bits = 2, .bucket = 128},
      {.top = 14, .code_bits = 4, .bucket = 512},
      {.top = 14, .code_bits = 4, .norm = LevelNorm::kL2, .bucket = 100},
      {.top = 254, .code_bits = 8, .stochastic = false, .bucket = 7},
      {.top = 1, .code_bits = 1, .bucket = SIZE_MAX},
      {.top = 31, .code_bits = 5, .bucket = SIZE_MAX},
      {.top = 1022, .code_bits = 10, .norm = LevelNorm::kL2, .bucket = 1},
      {.top = 65534,
       .code_bits = 16,
       .norm = LevelNorm::kPowerOfTwo,
       .stochastic = false,
       .bucket = SIZE_MAX},
      {.top = 65535, .code_bits = 16, .bucket = 4096},
      {.top = 1,
       .code_bits = 1,
       .norm = LevelNorm::kMeanMagnitude,
       .bucket = SIZE_MAX},
      {.top = 15, .code_bits = 4, .bucket = SIZE_MAX},
      {.top = 254, .code_bits = 8, .bucket = 1024},
  };
}

struct Encoded {
  bool finite;
  std::vector<uint8_t> norms;
  std::vector<uint8_t> packed;
  std::vector<float> loss;
};

using EncodeFunction = decltype(&EncodeLevels);

Encoded Encode(EncodeFunction encode, const LevelGrid& grid,
               const std::vector<float>& values, uint64_t first_index,
               const std::vector<float>* residual, size_t offset) {
  const size_t count = values.size();
  Misaligned<float> input(values, offset);
  Misaligned<uint8_t> norms(grid.Buckets(count) * 4, offset);
  Misaligned<uint8_t> packed(PackedCodeBytes(count, grid.code_bits), offset);
  Misaligned<float> loss(residual != nullptr ? *residual : std::vector<float>(),
                         offset);
  const bool finite = encode(grid, input.data(), count, kKey, first_index,
                             residual != nullptr ? loss.data() : nullptr,
                             norms.data(), packed.data());
  return {finite, norms.Copy(), packed.Copy(), loss.Copy()};
}

void ExpectEqual(const Encoded& a, const Encoded& b) {
  ASSERT_EQ(a.finite, b.finite);
  ASSERT_EQ(a.norms, b.norms);
  ASSERT_EQ(a.packed, b.packed);
  ASSERT_EQ(BitsOf(a.loss), BitsOf(b.loss));
}

TEST(LevelsTest, EncodesAsTheReferenceOnAllTargets) {
  for (const LevelGrid& grid : Grids()) {
    SCOPED_TRACE(grid.top);
    OnAllTargets([&](size_t size, size_t offset) {
      const auto values = TestValues(size, 31);
      const auto residual = TestValues(size, 32);
      for (uint64_t first : {uint64_t{40}, (uint64_t{1} << 32) - 9}) {
        ExpectEqual(
            Encode(EncodeLevels, grid, values, first, nullptr, offset),
            Encode(reference::EncodeLevels, grid, values, first, nullptr, 0));
        ExpectEqual(
            Encode(EncodeLevels, grid, values, first, &residual, offset),
            Encode(reference::EncodeLevels, grid, values, first, &residual, 0));
      }
    });
  }
}

TEST(LevelsTest, DecodesAsTheReferenceOnAllTargets) {
  for (const LevelGrid& grid : Grids()) {
    SCOPED_TRACE(grid.top);
    OnAllTargets([&](size_t size, size_t offset) {
      const auto values = TestValues(size, 33);
      const Encoded encoded =
          Encode(reference::EncodeLevels, grid, values, 0, nullptr, 0);
      const auto start = TestValues(size, 34);
      auto expected = start;
      reference::DecodeAddLevels(grid, encoded.norms.data(),
                                 encoded.packed.data(), size, 0.7f,
                                 expected.data());
      Misaligned<uint8_t> norms(encoded.norms, offset);
      Misaligned<uint8_t> packed(encoded.packed, offset);
      Misaligned<float> target(start, offset);
      DecodeAddLevels(grid, norms.data(), packed.data(), size, 0.7f,
                      target.data());
      ASSERT_EQ(BitsOf(target.Copy()), BitsOf(expected));
      ASSERT_EQ(
          MaxCode(packed.data(), size, grid.code_bits),
          reference::MaxCode(encoded.packed.data(), size, grid.code_bits));
    });
  }
}

TEST(LevelsTest, LossIsWhatDecodingLacks) {
  for (const LevelGrid& grid : Grids()) {
    const auto values = TestValues(3000, 35);
    const std::vector<float> none(values.size());
    const Encoded encoded = Encode(EncodeLevels, grid, values, 0, &none, 0);
    auto sum = encoded.loss;
    DecodeAddLevels(grid, encoded.norms.data(), encoded.packed.data(),
                    sum.size(), 1.0f, sum.data());
    for (size_t i = 0; i < sum.size(); ++i) {
      // Both roundings are of a sum no larger than the block's maximum.
      ASSERT_NEAR(sum[i], values[i], 1e-5) << grid.top << " at " << i;
    }
  }
}

TEST(LevelsTest, ZeroesStayZeroAndExtremesStayExtreme) {
  for (uint32_t levels : {1u, 3u, 7u, 127u}) {
    const LevelGrid grid{.top = 2 * levels, .code_bits = CodeBits(2 * levels)};
    std::vector<float> values(512);
    values[100] = 3.1f;
    values[200] = -3.1f;
    for (uint64_t first = 0; first < 200; ++first) {
      const Encoded encoded =
          Encode(EncodeLevels, grid, values, first * 512, nullptr, 0);
      std::vector<float> decoded(512);
      DecodeAddLevels(grid, encoded.norms.data(), encoded.packed.data(), 512,
                      1.0f, decoded.data());
      for (size_t i = 0; i < 512; ++i) {
        ASSERT_FLOAT_EQ(decoded[i], values[i]) << i;
      }
    }
  }
}

TEST(LevelsTest, TinyNormsCountAsZero) {
  for (const LevelGrid& grid : Grids()) {
    const std::vector<float> values(600, 1e-40f);
    const std::vector<float> none(values.size());
    const Encoded encoded = Encode(EncodeLevels, grid, values, 0, &none, 0);
    EXPECT_EQ(encoded.loss, values);
    std::vector<float> decoded(values.size());
    DecodeAddLevels(grid, encoded.norms.data(), encoded.packed.data(),
                    values.size(), 1.0f, decoded.data());
    EXPECT_EQ(decoded, none);
  }
}

TEST(LevelsTest, HugeValuesStayFinite) {
  for (const LevelGrid& grid : Grids()) {
    std::vector<float> values(600, std::numeric_limits<float>::max());
    for (size_t i = 0; i < values.size(); i += 3) values[i] = -values[i];
    const Encoded encoded = Encode(EncodeLevels, grid, values, 0, nullptr, 0);
    EXPECT_TRUE(encoded.finite);
    std::vector<float> decoded(values.size());
    DecodeAddLevels(grid, encoded.norms.data(), encoded.packed.data(),
                    values.size(), 1.0f, decoded.data());
    for (size_t i = 0; i < values.size(); ++i) {
      ASSERT_TRUE(std::isfinite(decoded[i])) << grid.top;
      ASSERT_GE(decoded[i] * (values[i] > 0 ? 1 : -1), 0) << grid.top;
    }
  }
}

TEST(LevelsTest, PowerOfTwoStepIsTheSmallestThatReaches) {
  const LevelGrid grid{.top = 254,
                       .code_bits = 8,
                       .norm = LevelNorm::kPowerOfTwo,
                       .stochastic = false};
  for (float max : {1.0f, 127.0f, 128.0f, 0.3f, 1e-20f, 1e30f}) {
    const LevelScale scale =
        MakeLevelScale(grid, {.max_abs_bits = std::bit_cast<uint32_t>(max)}, 1);
    int exponent = 0;
    EXPECT_EQ(std::frexp(scale.step, &exponent), 0.5f) << max;
    EXPECT_GE(scale.norm, max);
    EXPECT_LT(scale.norm / 2, max);
  }
}

TEST(LevelsTest, ReportsNonFiniteValues) {
  for (const LevelGrid& grid : Grids()) {
    for (size_t position : {0, 511, 512, 599}) {
      auto values = TestValues(600, 36);
      values[position] = std::numeric_limits<float>::quiet_NaN();
      EXPECT_FALSE(Encode(EncodeLevels, grid, values, 0, nullptr, 0).finite);
    }
  }
}

TEST(PackTest, RoundTripsAllWidths) {
  for (uint32_t bits = 1; bits <= 16; ++bits) {
    std::vector<uint16_t> codes(kPackGroup);
    for (size_t i = 0; i < kPackGroup; ++i) {
      codes[i] = RandomBits(bits, i) & ((1u << bits) - 1);
    }
    std::vector<uint8_t> rest(PackedCodeBytes(kPackGroup - 1, bits));
    reference::PackRest(codes.data(), kPackGroup - 1, bits, rest.data());
    std::vector<uint16_t> decoded(kPackGroup);
    reference::UnpackRest(rest.data(), kPackGroup - 1, bits, decoded.data());
    decoded.back() = codes.back();
    EXPECT_EQ(decoded, codes) << bits;
    if (bits > 8) {
      std::vector<uint8_t> packed(PackedCodeBytes(kPackGroup, bits));
      reference::PackGroup(codes.data(), bits, packed.data());
      reference::UnpackGroup(packed.data(), bits, decoded.data());
      EXPECT_EQ(decoded, codes) << bits;
    }
  }
}

TEST(PackTest, GroupsRunDownColumns) {
  // Code 64 of a group of 4-bit codes is the upper half of byte 0.
  std::vector<uint8_t> codes(kPackGroup);
  codes[0] = 0x3;
  codes[64] = 0xa;
  codes[128] = 0x5;
  std::vector<uint8_t> packed(PackedCodeBytes(kPackGroup, 4));
  reference::PackGroup(codes.data(), 4, packed.data());
  EXPECT_EQ(packed[0], 0xa3);
  EXPECT_EQ(packed[64], 0x05);
}

}  // namespace
}  // namespace terse
