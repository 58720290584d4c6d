#include "common/codec/rows_codec.h"

#include <cstring>
#include <vector>

#include "common/base/random.h"
#include "common/codec/dense_codec.h"
#include "gtest/gtest.h"

namespace terse {
namespace {

using Bytes = std::vector<std::byte>;

Bytes MustEncode(const Codec& codec, const std::vector<float>& values) {
  Bytes payload(codec.MaxEncodedBytes(values.size()));
  const auto bytes = codec.Encode(values, {}, payload);
  EXPECT_TRUE(bytes.ok()) << bytes.status();
  payload.resize(bytes.value_or(0));
  return payload;
}

// `rows` rows of `width`; those in `active` have values, zeros among them.
std::vector<float> Matrix(size_t rows, size_t width,
                          const std::vector<size_t>& active) {
  std::vector<float> values(rows * width);
  for (const size_t row : active) {
    for (size_t i = 0; i < width; i += 2) {
      values[row * width + i] = RandomUnit(7, row * width + i) - 0.5f;
    }
  }
  return values;
}

// Values as fp32.
KeptValues Floats() {
  return KeptValues(std::make_unique<DenseCodec>(FloatFormat::kBinary32),
                    /*fixed_size=*/true);
}

TEST(RowsCodecTest, TakesTheBytesOfTheActiveRowsAndTheirPositions) {
  const RowsCodec codec({.elements = 784}, Floats());
  const std::vector<size_t> active = {3, 4, 77, 120, 333};
  const auto values = Matrix(334, 784, active);
  const Bytes payload = MustEncode(codec, values);
  EXPECT_GE(payload.size(), active.size() * 784 * sizeof(float));
  EXPECT_LE(payload.size(), active.size() * 784 * sizeof(float) + 16);
  ASSERT_TRUE(codec.Validate(payload, values.size()).ok());
  std::vector<float> decoded(values.size());
  codec.DecodeAdd(payload, 1, decoded);
  EXPECT_EQ(decoded, values);
}

TEST(RowsCodecTest, TheLastRowOfABlockMayBeShort) {
  const RowsCodec codec({.elements = 10}, Floats());
  for (const size_t active : {size_t{0}, size_t{2}}) {
    std::vector<float> values = Matrix(3, 10, {active});
    values.resize(23);
    const Bytes payload = MustEncode(codec, values);
    const size_t sent = active == 2 ? 3 : 10;
    EXPECT_EQ(payload.size(), 4 + 2 + sent * sizeof(float));
    ASSERT_TRUE(codec.Validate(payload, values.size()).ok());
    std::vector<float> decoded(values.size());
    codec.DecodeAdd(payload, 1, decoded);
    EXPECT_EQ(decoded, values);
  }
}

TEST(RowsCodecTest, ARowThatIsLongerThanTheBlockIsOneRow) {
  const RowsCodec codec({.elements = 1000}, Floats());
  const auto values = Matrix(1, 40, {0});
  const Bytes payload = MustEncode(codec, values);
  EXPECT_EQ(payload.size(), 4 + 1 + 40 * sizeof(float));
  std::vector<float> decoded(values.size());
  codec.DecodeAdd(payload, 1, decoded);
  EXPECT_EQ(decoded, values);
}

TEST(RowsCodecTest, MatchesItsFormat) {
  const RowsCodec codec({.elements = 2}, Floats());
  const Bytes payload = MustEncode(codec, {0, 0, 0, 0, 0, 1, 0, 0});
  // One row of four, the third: a Rice code without low bits of gap 2.
  Bytes expected = {std::byte{1}, {}, {}, {}, std::byte{0}, std::byte{4}};
  expected.resize(6 + 8);
  const float row[] = {0, 1};
  std::memcpy(expected.data() + 6, row, sizeof(row));
  ASSERT_EQ(payload.size(), expected.size());
  // The index set has its own tests; only its length is this format's.
  EXPECT_EQ(std::memcmp(payload.data(), expected.data(), 4), 0);
  EXPECT_EQ(std::memcmp(payload.data() + 6, expected.data() + 6, 8), 0);
}

TEST(RowsCodecTest, ResidualsAreSentWholeWithTheirRows) {
  const RowsCodec codec({.elements = 4}, Floats());
  const std::vector<float> values = {0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0};
  std::vector<float> residual = {0, 3, 0, 0, -1, 0, 0, 0, 0, 0, 0, 0};
  Bytes payload(codec.MaxEncodedBytes(values.size()));
  const auto bytes = codec.Encode(values, {.residual = residual}, payload);
  ASSERT_TRUE(bytes.ok());
  payload.resize(*bytes);
  std::vector<float> decoded(values.size());
  codec.DecodeAdd(payload, 1, decoded);
  EXPECT_EQ(decoded, (std::vector<float>{0, 3, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0}));
  EXPECT_EQ(residual, std::vector<float>(values.size()));
}

TEST(RowsCodecTest, RefusesRowsBeyondTheBlockAndOtherLengths) {
  const RowsCodec codec({.elements = 10}, Floats());
  const auto values = Matrix(20, 10, {1, 19});
  Bytes payload = MustEncode(codec, values);
  // The same rows in a block whose last row is short are too long.
  EXPECT_EQ(codec.Validate(payload, 195).code(), absl::StatusCode::kDataLoss);
  // In a shorter block row 19 does not exist.
  EXPECT_EQ(codec.Validate(payload, 100).code(), absl::StatusCode::kDataLoss);
  payload[0] = std::byte{21};
  EXPECT_EQ(codec.Validate(payload, 200).code(), absl::StatusCode::kDataLoss);
}

}  // namespace
}  // namespace terse
