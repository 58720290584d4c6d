#include "common/codec/gradient_sum.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "tests/conformance/codec/codec_cases.h"

namespace terse {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

struct Round {
  std::unique_ptr<Codec> codec;
  std::vector<Contribution> contributions;
  std::vector<float> mean;

  Round(const std::string& options, uint32_t workers, size_t count,
        const char* kind = "gaussian")
      : codec(MakeCodecFromText(options)), mean(count) {
    for (uint32_t w = 0; w < workers; ++w) {
      contributions.push_back(
          {Buffer::CopyOf(
               MustEncode(*codec, CodecInput(kind, count, w + 1), {.key = w})),
           1.0 / workers});
    }
    AddContributions(*codec, contributions, mean);
  }

  SumContext Context(uint32_t workers) const {
    return {.codec = *codec,
            .level_codec = dynamic_cast<const LevelCodec*>(codec.get()),
            .workers = workers,
            .count = mean.size()};
  }
};

std::vector<uint32_t> Bits(const std::vector<float>& values) {
  std::vector<uint32_t> bits;
  for (float value : values) bits.push_back(std::bit_cast<uint32_t>(value));
  return bits;
}

std::vector<float> Decoded(const SumContext& context, const Buffer& message,
                           float scale = 0) {
  const absl::Status valid = ValidateSum(context, scale, message.bytes());
  EXPECT_TRUE(valid.ok()) << valid;
  std::vector<float> mean(context.count, kNan);
  if (valid.ok()) DecodeSum(context, message.bytes(), mean);
  return mean;
}

uint32_t FormOf(const Buffer& message) {
  return std::to_integer<uint32_t>(message.bytes()[0]);
}

TEST(GradientSumTest, AMeanComesBackBitForBitInTheShortestForm) {
  struct Case {
    const char* options;
    uint32_t workers;
    const char* input;
    uint32_t form;
  };
  for (const Case& one :
       std::vector<Case>{{"kind: TOPK ratio: 0.01", 3, "gaussian", 2},
                         {"kind: TOPK ratio: 0.5", 8, "gaussian", 0},
                         {"kind: TERNGRAD", 2, "gaussian", 3},
                         {"kind: TERNGRAD", 40, "gaussian", 0},
                         {"kind: TERNGRAD", 2, "zeros", 2},
                         {"kind: TERNGRAD scale: SHARED", 4, "gaussian", 3},
                         {"kind: QSGD", 3, "laplace", 3},
                         {"kind: FP16", 2, "gaussian", 0},
                         {"kind: NONE", 1, "mixed", 0}}) {
    SCOPED_TRACE(std::string(one.options) + " " + std::to_string(one.workers));
    for (size_t count : {size_t{1}, size_t{320}, size_t{5003}}) {
      const Round round(one.options, one.workers, count, one.input);
      const SumContext context = round.Context(one.workers);
      const Buffer message =
          EncodeMean(context, round.contributions, round.mean);
      EXPECT_EQ(Bits(Decoded(context, message)), Bits(round.mean));
      EXPECT_LE(message.size(), 12 + count * sizeof(float));
      if (count > 1000) {
        EXPECT_EQ(FormOf(message), one.form);
      }
    }
  }
}

// Payloads of an agreed scale, their sum, and its message.
struct LevelRound {
  LevelRound(const std::string& options, uint32_t workers, size_t count,
             float scale)
      : codec(MakeCodecFromText(options)),
        level_codec(dynamic_cast<const LevelCodec*>(codec.get())),
        sums(*level_codec, workers, count),
        mean(count),
        context{.codec = *codec,
                .level_codec = level_codec,
                .workers = workers,
                .count = count} {
    for (uint32_t w = 0; w < workers; ++w) {
      std::vector<std::byte> payload(codec->MaxEncodedBytes(count));
      EXPECT_TRUE(level_codec
                      ->EncodeShared(CodecInput("gaussian", count, w + 1),
                                     {.key = w}, scale, payload)
                      .ok());
      sums.Add(*level_codec, payload);
    }
    MeanOfLevels(context, sums, scale, mean);
    message = EncodeLevelSum(context, sums, scale);
  }

  std::unique_ptr<Codec> codec;
  const LevelCodec* level_codec;
  LevelSums sums;
  std::vector<float> mean;
  SumContext context;
  Buffer message;
};

TEST(GradientSumTest, SumsOfAllLevelsComeBackBitForBit) {
  for (const char* options :
       {"kind: QSGD scale: SHARED", "kind: DOREFA bits: 3 scale: SHARED",
        "kind: SIGN scale: SHARED", "kind: UNIFORM bits: 9 scale: SHARED",
        "kind: DOREFA bits: 3 scale: SHARED coding: ENTROPY",
        "kind: MAJORITY"}) {
    for (uint32_t workers : {1, 3, 4, 200}) {
      for (size_t count : {1, 700, 2003}) {
        SCOPED_TRACE(testing::Message()
                     << options << " " << workers << " " << count);
        const LevelRound round(options, workers, count, 0x1p-8f);
        EXPECT_EQ(Bits(Decoded(round.context, round.message, 0x1p-8f)),
                  Bits(round.mean));
      }
    }
  }
}

TEST(GradientSumTest, EntropyCodingTakesFewerBitsThanTheRangeOfSums) {
  const std::string options = "kind: TERNGRAD scale: SHARED";
  const size_t fixed = LevelRound(options, 16, 50000, 0.05f).message.size();
  const LevelRound coded(options + " coding: ENTROPY", 16, 50000, 0.05f);
  EXPECT_EQ(FormOf(coded.message), 5u);
  // 33 values take 6 bits; their sum is nearly Gaussian.
  EXPECT_LT(coded.message.size(), fixed * 2 / 3);
  EXPECT_EQ(Bits(Decoded(coded.context, coded.message, 0.05f)),
            Bits(coded.mean));
}

TEST(GradientSumTest, VotesAreTheSignsOfTheSumAndTiesNobodys) {
  for (uint32_t workers : {3, 4}) {
    const LevelRound round("kind: MAJORITY", workers, 1000, 2.0f);
    EXPECT_EQ(FormOf(round.message), 6u);
    std::vector<int> sums(1000);
    for (uint32_t w = 0; w < workers; ++w) {
      const auto values = CodecInput("gaussian", 1000, w + 1);
      for (size_t i = 0; i < 1000; ++i) sums[i] += values[i] < 0 ? -1 : 1;
    }
    const auto ties = std::count(sums.begin(), sums.end(), 0);
    for (size_t i = 0; i < 1000; ++i) {
      const float vote = static_cast<float>((sums[i] > 0) - (sums[i] < 0));
      ASSERT_EQ(round.mean[i], vote);
    }
    EXPECT_EQ(ties > 0, workers == 4);
    // A bit an element, or a trit where there can be ties.
    EXPECT_NEAR(static_cast<double>(round.message.size()),
                workers == 3 ? 1000 / 8 : 1000 / 5, 24);
    Buffer damaged = Buffer::CopyOf(round.message.bytes());
    const float size = 3;
    std::memcpy(damaged.mutable_bytes().data() + 16, &size, sizeof(size));
    EXPECT_TRUE(
        absl::IsDataLoss(ValidateSum(round.context, 2.0f, damaged.bytes())));
  }
}

TEST(GradientSumTest, LevelSumsComeBackBitForBit) {
  for (uint32_t workers : {1, 2, 127, 128, 1000}) {
    const Round round("kind: TERNGRAD scale: SHARED", workers, 1003);
    const SumContext context = round.Context(workers);
    const SumGrid grid(*context.level_codec, workers);
    LevelSums sums(*context.level_codec, workers, 1003);
    for (const Contribution& part : round.contributions) {
      sums.Add(*context.level_codec, part.payload.bytes());
    }
    const float scale = 0.75f;
    const Buffer message = EncodeLevelSum(context, sums, scale);
    EXPECT_EQ(message.size(), 16 + grid.Bytes(1003));
    EXPECT_EQ(message.size(), TypicalSumBytes(context));
    std::vector<float> mean(1003);
    sums.Scale(MeanStep(scale, workers), mean);
    EXPECT_EQ(Bits(Decoded(context, message, scale)), Bits(mean));
    // Another scale than the one that was agreed on.
    EXPECT_TRUE(absl::IsDataLoss(ValidateSum(context, 1, message.bytes())));
  }
}

TEST(GradientSumTest, CarriesFactorAndNextScale) {
  const Round round("kind: TERNGRAD scale: SHARED", 2, 10);
  const SumContext context = round.Context(2);
  Buffer message = EncodeMean(context, round.contributions, round.mean);
  EXPECT_EQ(SumFactor(message.bytes()), 1);
  EXPECT_EQ(SumNextScale(message.bytes()), 0);
  FinishSum(0.25f, 3.5f, message);
  EXPECT_EQ(SumFactor(message.bytes()), 0.25f);
  EXPECT_EQ(SumNextScale(message.bytes()), 3.5f);
  EXPECT_EQ(Bits(Decoded(context, message)), Bits(round.mean));

  for (float factor : {-0.5f, 1.5f, kNan}) {
    FinishSum(factor, 1, message);
    EXPECT_TRUE(
        absl::IsInvalidArgument(ValidateSum(context, 0, message.bytes())))
        << factor;
  }
  for (float scale :
       {-1.0f, -0.0f, kNan, std::numeric_limits<float>::infinity()}) {
    FinishSum(1, scale, message);
    EXPECT_TRUE(
        absl::IsInvalidArgument(ValidateSum(context, 0, message.bytes())))
        << scale;
  }
}

TEST(GradientSumTest, ANextScaleNeedsASharedOne) {
  const Round round("kind: TERNGRAD", 2, 10);
  Buffer message =
      EncodeMean(round.Context(2), round.contributions, round.mean);
  FinishSum(1, 2, message);
  EXPECT_TRUE(absl::IsInvalidArgument(
      ValidateSum(round.Context(2), 0, message.bytes())));
}

// Every prefix, every longer message and every other form of each message.
TEST(GradientSumTest, RefusesWhatIsCutOrOfAnotherForm) {
  for (const char* options :
       {"kind: NONE", "kind: TERNGRAD", "kind: TOPK ratio: 0.05",
        "kind: TERNGRAD scale: SHARED"}) {
    SCOPED_TRACE(options);
    const Round round(options, 2, 330);
    const SumContext context = round.Context(2);
    const Buffer message = EncodeMean(context, round.contributions, round.mean);
    for (size_t bytes = 0; bytes < message.size(); ++bytes) {
      Buffer cut = message;
      cut.Truncate(bytes);
      ASSERT_FALSE(ValidateSum(context, 0, cut.bytes()).ok()) << bytes;
    }
    std::vector<std::byte> bytes(message.bytes().begin(),
                                 message.bytes().end());
    for (unsigned form : {0u, 1u, 2u, 3u, 4u, 255u}) {
      if (form == FormOf(message)) continue;
      bytes[0] = static_cast<std::byte>(form);
      EXPECT_FALSE(ValidateSum(context, 0, bytes).ok()) << form;
    }
    bytes[0] = message.bytes()[0];
    bytes[3] = std::byte{1};  // The form is a word.
    EXPECT_FALSE(ValidateSum(context, 0, bytes).ok());
    bytes[3] = std::byte{0};
    bytes.push_back(std::byte{0});
    EXPECT_FALSE(ValidateSum(context, 0, bytes).ok());
  }
}

TEST(GradientSumTest, RefusesFieldsOutOfRange) {
  const auto with_word = [](const Buffer& message, size_t offset, auto value) {
    std::vector<std::byte> bytes(message.bytes().begin(),
                                 message.bytes().end());
    std::memcpy(bytes.data() + offset, &value, sizeof(value));
    return bytes;
  };
  const Round payloads("kind: TERNGRAD", 2, 330);
  const SumContext context = payloads.Context(2);
  const Buffer message =
      EncodeMean(context, payloads.contributions, payloads.mean);
  ASSERT_EQ(FormOf(message), 3u);
  const auto refused = [&](size_t offset, auto value) {
    return !ValidateSum(context, 0, with_word(message, offset, value)).ok();
  };
  EXPECT_FALSE(refused(12, uint32_t{2}));
  for (uint32_t parts : {0u, 1u, 3u, 0xffffffffu}) {
    EXPECT_TRUE(refused(12, parts)) << parts;
  }
  EXPECT_TRUE(refused(16, uint32_t{1}));           // Length.
  EXPECT_TRUE(refused(16, uint32_t{0xffffffff}));  // Length.
  EXPECT_TRUE(refused(20, -0.5f));                 // Weight.
  EXPECT_TRUE(refused(20, kNan));
  EXPECT_TRUE(refused(24, -1.0f));          // The payload's scale.
  EXPECT_TRUE(refused(28, uint8_t{0xf3}));  // The payload's trits.

  const Round sparse("kind: TOPK ratio: 0.02", 2, 330);
  const Buffer few =
      EncodeMean(sparse.Context(2), sparse.contributions, sparse.mean);
  ASSERT_EQ(FormOf(few), 2u);
  for (uint32_t kept : {0u, 1u, 331u, 0xffffffffu}) {
    EXPECT_FALSE(
        ValidateSum(sparse.Context(2), 0, with_word(few, 12, kept)).ok());
  }
  EXPECT_FALSE(
      ValidateSum(sparse.Context(2), 0, with_word(few, few.size() - 4, kNan))
          .ok());
  const Round dense("kind: NONE", 1, 5);
  const Buffer floats =
      EncodeMean(dense.Context(1), dense.contributions, dense.mean);
  EXPECT_FALSE(
      ValidateSum(dense.Context(1), 0, with_word(floats, 12, kNan)).ok());
}

}  // namespace
}  // namespace terse
