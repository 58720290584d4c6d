#include "common/codec/level_sums.h"

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "common/base/random.h"
#include "common/codec/shared_ternary_codec.h"
#include "gtest/gtest.h"
#include "tests/conformance/codec/codec_cases.h"

namespace terse {
namespace {

const std::vector<std::string>& LevelCodecOptions() {
  static const auto* const options = new std::vector<std::string>{
      "kind: TERNGRAD scale: SHARED",
      "kind: QSGD scale: SHARED",
      "kind: QSGD levels: 1000 norm: L2 scale: SHARED",
      "kind: UNIFORM bits: 8 scale: SHARED",
      "kind: UNIFORM bits: 5 stochastic: true scale: SHARED",
      "kind: DOREFA bits: 1 scale: SHARED",
      "kind: DOREFA scale: SHARED",
      "kind: DOREFA bits: 12 scale: SHARED",
      "kind: BLOCKFLOAT bits: 8 scale: SHARED",
      "kind: SIGN scale: SHARED",
      "kind: TERNGRAD scale: SHARED clip_sigmas: 0"};
  return *options;
}

class LevelCodecTest : public testing::TestWithParam<std::string> {
 protected:
  LevelCodecTest() : owned_(MakeCodecFromText(GetParam())) {
    codec_ = dynamic_cast<const LevelCodec*>(owned_.get());
  }
  void SetUp() override { ASSERT_NE(codec_, nullptr); }

  std::vector<std::byte> Shared(const std::vector<float>& values, float scale,
                                const EncodeArgs& args = {}) const {
    std::vector<std::byte> payload(codec_->MaxEncodedBytes(values.size()));
    const auto bytes = codec_->EncodeShared(values, args, scale, payload);
    EXPECT_TRUE(bytes.ok()) << bytes.status();
    payload.resize(bytes.ok() ? *bytes : 0);
    const absl::Status valid = codec_->Validate(payload, values.size());
    EXPECT_TRUE(valid.ok()) << valid;
    return payload;
  }

  std::vector<int32_t> Levels(const std::vector<std::byte>& payload,
                              size_t count) const {
    std::vector<int32_t> levels(count);
    codec_->AddLevels(payload, std::span(levels));
    return levels;
  }

  // What Levels' whole numbers are short of levels of an even top.
  float Half() const { return codec_->Top() % 2 != 0 ? 0.5f : 0.0f; }
  bool Stochastic() const {
    return GetParam().find("SIGN") == std::string::npos &&
           GetParam().find("BLOCKFLOAT") == std::string::npos &&
           GetParam().find("bits: 8") == std::string::npos;
  }

  std::unique_ptr<Codec> owned_;
  const LevelCodec* codec_ = nullptr;
};

TEST_P(LevelCodecTest, CarriesTheScaleEncodeWouldTake) {
  for (const char* kind : {"gaussian", "zeros", "one_hot", "constant"}) {
    const std::vector<float> values = CodecInput(kind, 1000);
    const std::vector<std::byte> own = MustEncode(*codec_, values);
    EXPECT_EQ(codec_->OwnScale(Shared(values, 17.0f)), codec_->OwnScale(own))
        << kind;
    // Of its own scale it makes the same payload; a norm of several steps may
    // differ in its last place from its steps.
    if (codec_->Top() > 2) continue;
    EXPECT_EQ(Shared(values, codec_->OwnScale(own)), own) << kind;
  }
}

TEST_P(LevelCodecTest, ValuesBeyondTheScaleSaturate) {
  const std::vector<float> values = {1e30f, -1e30f, 2.0f, -2.0f, 0.0f};
  const auto top = static_cast<int32_t>(codec_->Top());
  const int32_t most = top - top / 2, least = -(top / 2);
  std::vector<int32_t> levels =
      Levels(Shared(values, 1.0f / static_cast<float>(top)), 5);
  if (top % 2 != 0) levels[4] = 0;  // There is no level at zero.
  EXPECT_EQ(levels, (std::vector<int32_t>{most, least, most, least, 0}));
}

TEST_P(LevelCodecTest, AScaleOfZeroSendsNothingButTheOwnScale) {
  const std::vector<float> values = CodecInput("gaussian", 700);
  std::vector<float> residual(values.size(), 0.25f);
  EncodeArgs args;
  args.residual = residual;
  const std::vector<std::byte> payload = Shared(values, 0, args);
  std::vector<float> sent(700);
  LevelSums sums(*codec_, 1, 700);
  sums.Add(*codec_, payload);
  sums.Scale(0, sent);
  EXPECT_EQ(sent, std::vector<float>(700));
  EXPECT_GT(codec_->OwnScale(payload), 0);
  for (size_t i = 0; i < values.size(); ++i) {
    ASSERT_EQ(residual[i], values[i] + 0.25f);
  }
}

TEST_P(LevelCodecTest, FeedbackKeepsWhatSaturationCutOff) {
  const std::vector<float> values = CodecInput("gaussian", 1000, 3);
  std::vector<float> residual(values.size(), 0.0f);
  EncodeArgs args;
  args.residual = residual;
  const float scale = 0.125f;
  const std::vector<int32_t> levels =
      Levels(Shared(values, scale, args), values.size());
  for (size_t i = 0; i < values.size(); ++i) {
    const float level = static_cast<float>(levels[i]) - Half();
    // Beyond the grid a value is clipped first, and the two losses are added.
    ASSERT_NEAR(residual[i], values[i] - level * scale, 0x1p-20f);
  }
}

TEST_P(LevelCodecTest, IsUnbiasedWithinTheScale) {
  if (!Stochastic()) GTEST_SKIP() << "rounds to the nearest";
  const std::vector<float> values = CodecInput("gaussian", 400, 5);
  const float scale = 8.0f / static_cast<float>((codec_->Top() + 1) / 2);
  std::vector<int32_t> sums(values.size());
  constexpr int kDraws = 4096;
  for (uint64_t key = 1; key <= kDraws; ++key) {
    codec_->AddLevels(Shared(values, scale, {.key = Mix64(key)}),
                      std::span(sums));
  }
  for (size_t i = 0; i < values.size(); ++i) {
    const double steps = double{values[i]} / scale + Half();
    const double f = steps - std::floor(steps);
    const double deviation = std::sqrt(f * (1 - f) / kDraws);
    // The fraction of a step is drawn with 2^-14 or better.
    EXPECT_NEAR(double(sums[i]) / kDraws, steps, 5.5 * deviation + 1e-4) << i;
  }
}

TEST_P(LevelCodecTest, RefusesNonFiniteValues) {
  std::vector<float> values(10, 1.0f);
  values[7] = std::numeric_limits<float>::quiet_NaN();
  std::vector<std::byte> payload(codec_->MaxEncodedBytes(values.size()));
  const auto bytes = codec_->EncodeShared(values, {}, 1, payload);
  EXPECT_TRUE(absl::IsInvalidArgument(bytes.status())) << bytes.status();
}

// algorithms.md Y7: with an agreed scale a float holds every partial sum.
TEST_P(LevelCodecTest, IntegerSumsAreTheFloatSumsOfDecodedPayloads) {
  for (uint32_t workers : {1, 2, 3, 127, 128, 1000}) {
    // A float holds sums of 2^16 half steps.
    if (uint64_t{workers} * codec_->Top() > 65536) continue;
    const size_t count = workers > 100 ? 700 : 3001;
    const float scale = AgreedScale(0.731f);
    const SumGrid grid(*codec_, workers);
    LevelSums sums(*codec_, workers, count);
    std::vector<float> floats(count, 0.0f);
    for (uint32_t w = 0; w < workers; ++w) {
      // Beyond the scale, so that sums reach the ends of their range.
      std::vector<float> values(count, w % 50 == 0 ? -1e9f : 1e9f);
      const std::vector<float> some = CodecInput("gaussian", count / 2, w + 1);
      std::copy(some.begin(), some.end(), values.begin());
      std::vector<std::byte> payload =
          Shared(values, scale, {.key = Mix64(w + 1)});
      sums.Add(*codec_, payload);
      // Codec::DecodeAdd takes the scale that is written in front.
      const float norm = scale * (static_cast<float>(codec_->Top()) / 2);
      std::memcpy(payload.data(), &norm, sizeof(norm));
      codec_->DecodeAdd(payload, 1, floats);
    }
    std::vector<std::byte> packed(grid.Bytes(count));
    sums.Pack(packed);
    ASSERT_TRUE(grid.Validate(packed, count).ok()) << workers;
    std::vector<float> decoded(count), scaled(count);
    grid.Decode(packed, scale, decoded);
    sums.Scale(scale, scaled);
    for (size_t i = 0; i < count; ++i) {
      ASSERT_EQ(std::bit_cast<uint32_t>(decoded[i]),
                std::bit_cast<uint32_t>(scaled[i]));
      ASSERT_EQ(decoded[i], floats[i]) << workers << " workers, element " << i;
    }
  }
}

TEST_P(LevelCodecTest, SumsTakeTheNarrowestBits) {
  for (uint32_t workers : {1, 2, 127, 128, 1000, 4096}) {
    const SumGrid grid(*codec_, workers);
    if (uint64_t{workers} * codec_->Top() > kLevelSumMax) continue;
    const double levels = 1.0 * workers * codec_->Top() + 1;
    EXPECT_EQ(grid.bits, std::ceil(std::log2(levels))) << workers;
  }
}

INSTANTIATE_TEST_SUITE_P(Codecs, LevelCodecTest,
                         testing::ValuesIn(LevelCodecOptions()));

TEST(LevelSumsTest, PackedSumsThatAreWrongAreRefused) {
  const SharedTernaryCodec codec(0);
  const SumGrid grid(codec, 2);  // Codes 0..4 in 3 bits.
  std::vector<std::byte> packed(grid.Bytes(5));
  ASSERT_EQ(packed.size(), 2u);
  EXPECT_TRUE(grid.Validate(packed, 5).ok());
  EXPECT_TRUE(absl::IsDataLoss(grid.Validate(packed, 4 + 5)));  // Length.
  packed[0] = std::byte{5};
  EXPECT_TRUE(absl::IsDataLoss(grid.Validate(packed, 5)));
  packed[0] = std::byte{4};
  EXPECT_TRUE(grid.Validate(packed, 5).ok());
  packed[1] = std::byte{0x80};
  EXPECT_TRUE(absl::IsDataLoss(grid.Validate(packed, 5)));
}

TEST(AgreedScaleTest, RoundsUpToEightBits) {
  EXPECT_EQ(AgreedScale(0), 0);
  EXPECT_EQ(AgreedScale(1), 1);
  EXPECT_EQ(AgreedScale(0x1.02p5f), 0x1.02p5f);
  EXPECT_EQ(AgreedScale(0x1.020002p5f), 0x1.04p5f);
  EXPECT_EQ(AgreedScale(0x1.fffffep3f), 16);
  EXPECT_EQ(AgreedScale(std::numeric_limits<float>::max()), 0x1.fep127f);
  EXPECT_EQ(AgreedScale(std::numeric_limits<float>::denorm_min()), 0x1p-133f);
}

}  // namespace
}  // namespace terse
