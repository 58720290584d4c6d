#include "common/kernels/ternary.h"

#include "tests/unit/common/kernels/kernel_test_util.h"

namespace terse {
namespace {

constexpr uint64_t kKey = 0x123456789abcdefu;

struct Encoded {
  std::vector<uint8_t> packed;
  std::vector<float> loss;
};

Encoded ReferenceEncode(const std::vector<float>& values, float scale,
                        uint64_t first_index) {
  Encoded encoded{std::vector<uint8_t>(PackedTritBytes(values.size())), values};
  reference::EncodeTernary(values.data(), values.size(), scale, kKey,
                           first_index, encoded.loss.data(),
                           encoded.packed.data());
  return encoded;
}

void ExpectEncodesAs(const std::vector<float>& values, float scale,
                     uint64_t first_index, size_t offset,
                     const Encoded& expected) {
  Misaligned<float> input(values, offset);
  Misaligned<uint8_t> packed(expected.packed.size(), offset);
  EncodeTernary(input.data(), values.size(), scale, kKey, first_index, nullptr,
                packed.data());
  ASSERT_EQ(packed.Copy(), expected.packed);
  Misaligned<uint8_t> again(expected.packed.size(), offset);
  EncodeTernary(input.data(), values.size(), scale, kKey, first_index,
                input.data(), again.data());
  ASSERT_EQ(again.Copy(), expected.packed);
  ASSERT_EQ(BitsOf(input.Copy()), BitsOf(expected.loss));
}

TEST(TernaryTest, EncodesAsTheReferenceOnAllTargets) {
  OnAllTargets([](size_t size, size_t offset) {
    const auto values = TestValues(size, 5);
    // A scale within the values, none, the boundary of indices, a tiny scale.
    for (auto [scale, first] : {std::pair{2.5f, uint64_t{1000}},
                                {0.0f, uint64_t{7}},
                                {1.0f, (uint64_t{1} << 32) - 5},
                                {1.0f, (uint64_t{3} << 32) + 5},
                                {1e-40f, uint64_t{0}},
                                {3e38f, uint64_t{0}}}) {
      ExpectEncodesAs(values, scale, first, offset,
                      ReferenceEncode(values, scale, first));
    }
  });
}

TEST(TernaryTest, DecodesAsTheReferenceOnAllTargets) {
  OnAllTargets([](size_t size, size_t offset) {
    std::vector<uint8_t> packed(PackedTritBytes(size));
    for (size_t i = 0; i < packed.size(); ++i) packed[i] = i * 7 % kTritCodes;
    const auto start = TestValues(size, 9);
    auto expected = start;
    reference::DecodeAddTernary(packed.data(), size, -0.3f, expected.data());
    Misaligned<uint8_t> source(packed, offset);
    Misaligned<float> target(start, offset);
    DecodeAddTernary(source.data(), size, -0.3f, target.data());
    ASSERT_EQ(BitsOf(target.Copy()), BitsOf(expected));
  });
}

TEST(TernaryTest, DecodesWhatWasEncoded) {
  for (size_t size : KernelTestSizes()) {
    const auto values = TestValues(size, 11);
    const Encoded encoded = ReferenceEncode(values, 2.0f, 0);
    std::vector<float> sum = encoded.loss;
    DecodeAddTernary(encoded.packed.data(), size, 2.0f, sum.data());
    for (size_t i = 0; i < size; ++i) {
      EXPECT_NEAR(sum[i], values[i], 1e-6) << i;
      const float sent = values[i] - encoded.loss[i];
      EXPECT_TRUE(sent == 0 || std::abs(std::abs(sent) - 2.0f) < 1e-6);
    }
  }
}

TEST(TernaryTest, PacksFiveTritsInBaseThree) {
  const auto byte_of = [](std::vector<float> values) {
    uint8_t byte = 255;
    EncodeTernary(values.data(), values.size(), 1.0f, kKey, 0, nullptr, &byte);
    return int{byte};
  };
  EXPECT_EQ(byte_of({-1, -1, -1, -1, -1}), 0);
  EXPECT_EQ(byte_of({0, 0, 0, 0, 0}), 121);
  EXPECT_EQ(byte_of({1, 1, 1, 1, 1}), 242);
  EXPECT_EQ(byte_of({1, -1, -1, -1, -1}), 2);
  EXPECT_EQ(byte_of({-1, -1, -1, -1, 1}), 162);
  EXPECT_EQ(byte_of({1, 1}), 8);
}

TEST(TernaryTest, AlwaysKeepsTheScaleAndNeverZero) {
  for (float scale : {1.0f, 1.5f, 0x1.fffffep0f, 1.1e-38f, 1e-45f, 3.4e38f}) {
    std::vector<float> values(640, scale);
    for (size_t i = 0; i < values.size(); i += 2) values[i] = 0;
    for (uint64_t key = 0; key < 50; ++key) {
      std::vector<uint8_t> packed(PackedTritBytes(values.size()));
      EncodeTernary(values.data(), values.size(), scale, key, 0, nullptr,
                    packed.data());
      std::vector<float> decoded(values.size());
      DecodeAddTernary(packed.data(), decoded.size(), scale, decoded.data());
      ASSERT_EQ(decoded, values) << scale;
    }
  }
}

TEST(TernaryTest, FindsTheLargestByteOnAllTargets) {
  OnAllTargets([](size_t size, size_t offset) {
    std::vector<uint8_t> bytes(size, 7);
    if (size > 0) bytes[size * 3 / 4] = 243;
    Misaligned<uint8_t> source(bytes, offset);
    ASSERT_EQ(MaxByte(source.data(), size), size > 0 ? 243 : 0);
  });
}

}  // namespace
}  // namespace terse
