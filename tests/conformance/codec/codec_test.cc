// What every codec must do; see common/codec/codec.h.
#include <algorithm>
#include <cmath>
#include <limits>
#include <span>

#include "common/base/limits.h"
#include "common/base/random.h"
#include "common/kernels/target.h"
#include "gtest/gtest.h"
#include "tests/conformance/codec/codec_cases.h"

namespace terse {
namespace {

constexpr size_t kSizes[] = {0,   1,   2,   3,    4,    5,    8,   9,
                             15,  63,  64,  65,   127,  319,  320, 321,
                             511, 512, 513, 1000, 1024, 2563, 5000};
const char* const kInputs[] = {"gaussian", "laplace",  "zeros", "constant",
                               "one_hot",  "denormal", "mixed", "specials"};

class CodecConformanceTest : public testing::TestWithParam<CodecCase> {
 protected:
  void SetUp() override { codec_ = MakeCodecFromText(GetParam().options); }
  void TearDown() override { ASSERT_TRUE(ForceKernelTarget("auto")); }

  std::unique_ptr<Codec> codec_;
};

double MaxAbs(const std::vector<float>& values) {
  double max = 0;
  for (float value : values) max = std::max(max, std::fabs(double{value}));
  return max;
}

bool SameBits(const std::vector<float>& a, const std::vector<float>& b) {
  return std::ranges::equal(std::as_bytes(std::span(a)),
                            std::as_bytes(std::span(b)));
}

TEST_P(CodecConformanceTest, WhatIsSentAndTheResidualAreTheValues) {
  for (size_t count : kSizes) {
    for (const char* input : kInputs) {
      SCOPED_TRACE(testing::Message() << input << " " << count);
      const auto values = CodecInput(input, count);
      std::vector<float> residual(count);
      const auto payload =
          MustEncode(*codec_, values, {.key = 3, .residual = residual});
      ASSERT_LE(payload.size(), codec_->MaxEncodedBytes(count));
      ASSERT_TRUE(codec_->Validate(payload, count).ok())
          << codec_->Validate(payload, count);
      const auto sent = Decode(*codec_, payload, count);
      const double tolerance = 0x1p-22 * GetParam().amplifies * MaxAbs(values);
      for (size_t i = 0; i < count; ++i) {
        ASSERT_NEAR(double{sent[i]} + residual[i], values[i], tolerance) << i;
      }
    }
  }
}

TEST_P(CodecConformanceTest, ResidualNeverChangesWhatIsSentOfTheSum) {
  // Encoding v with residual r sends what encoding v + r without sends.
  for (size_t count : kSizes) {
    const auto values = CodecInput("gaussian", count, 7);
    auto residual = CodecInput("laplace", count, 8);
    std::vector<float> sum(count);
    for (size_t i = 0; i < count; ++i) sum[i] = residual[i] + values[i];
    const auto expected = MustEncode(*codec_, sum, {.key = 5});
    const auto payload =
        MustEncode(*codec_, values, {.key = 5, .residual = residual});
    ASSERT_EQ(payload, expected) << count;
  }
}

TEST_P(CodecConformanceTest, SentAndResidualTelescopeOverManyRounds) {
  constexpr size_t kCount = 1500;
  std::vector<float> residual(kCount);
  std::vector<double> gradients(kCount), sent(kCount);
  for (uint64_t round = 0; round < 30; ++round) {
    const auto values = CodecInput("gaussian", kCount, 100 + round);
    const auto payload =
        MustEncode(*codec_, values, {.key = round, .residual = residual});
    const auto decoded = Decode(*codec_, payload, kCount);
    for (size_t i = 0; i < kCount; ++i) {
      gradients[i] += values[i];
      sent[i] += decoded[i];
    }
  }
  const double scale =
      std::max(MaxAbs(residual), 0.04) * 30 * GetParam().amplifies;
  for (size_t i = 0; i < kCount; ++i) {
    ASSERT_NEAR(sent[i] + residual[i], gradients[i], 0x1p-22 * scale) << i;
  }
}

TEST_P(CodecConformanceTest, SameBytesOnEveryTargetAndAlignment) {
  for (size_t count : kSizes) {
    for (const char* input : kInputs) {
      SCOPED_TRACE(testing::Message() << input << " " << count);
      const auto values = CodecInput(input, count);
      const auto start = CodecInput("laplace", count, 2);
      ASSERT_TRUE(ForceKernelTarget("scalar"));
      auto residual = start;
      const EncodeArgs args{
          .key = 9, .first_index = 12345, .residual = residual};
      const auto expected = MustEncode(*codec_, values, args);
      std::vector<float> expected_sum = start;
      codec_->DecodeAdd(expected, 0.3f, expected_sum);
      for (const std::string& target : KernelTargetNames()) {
        ASSERT_TRUE(ForceKernelTarget(target));
        for (size_t offset : {0, 1, 3}) {
          auto own_residual = start;
          std::vector<std::byte> payload(offset +
                                         codec_->MaxEncodedBytes(count));
          const auto bytes = codec_->Encode(
              values,
              {.key = 9, .first_index = 12345, .residual = own_residual},
              std::span(payload).subspan(offset));
          ASSERT_TRUE(bytes.ok());
          payload.resize(offset + *bytes);
          const auto source = std::span(payload).subspan(offset);
          ASSERT_TRUE(std::equal(source.begin(), source.end(), expected.begin(),
                                 expected.end()))
              << target;
          ASSERT_TRUE(SameBits(own_residual, residual)) << target;
          ASSERT_TRUE(codec_->Validate(source, count).ok());
          std::vector<float> sum = start;
          codec_->DecodeAdd(source, 0.3f, sum);
          ASSERT_TRUE(SameBits(sum, expected_sum)) << target;
        }
      }
    }
  }
}

TEST_P(CodecConformanceTest, WritesNothingBeyondItsBound) {
  for (size_t count : kSizes) {
    const auto values = CodecInput("gaussian", count);
    const size_t bound = codec_->MaxEncodedBytes(count);
    std::vector<std::byte> payload(bound + 64, std::byte{0xa5});
    ASSERT_TRUE(
        codec_->Encode(values, {}, std::span(payload).first(bound)).ok());
    for (size_t i = bound; i < payload.size(); ++i) {
      ASSERT_EQ(payload[i], std::byte{0xa5}) << count;
    }
  }
}

TEST_P(CodecConformanceTest, ZeroesDecodeToZeroes) {
  for (size_t count : kSizes) {
    std::vector<float> residual(count);
    const auto payload = MustEncode(*codec_, CodecInput("zeros", count),
                                    {.key = 1, .residual = residual});
    for (float value : Decode(*codec_, payload, count)) ASSERT_EQ(value, 0.0f);
    for (float loss : residual) ASSERT_EQ(loss, 0.0f);
  }
}

TEST_P(CodecConformanceTest, NanAndInfinityAreErrors) {
  using Limits = std::numeric_limits<float>;
  for (size_t count : {1, 17, 320, 4500}) {
    for (size_t position : {size_t{0}, count / 2, count - 1}) {
      for (float bad :
           {Limits::quiet_NaN(), Limits::infinity(), -Limits::infinity()}) {
        auto values = CodecInput("gaussian", count);
        values[position] = bad;
        std::vector<std::byte> target(codec_->MaxEncodedBytes(count));
        const auto plain = codec_->Encode(values, {}, target);
        ASSERT_EQ(plain.status().code(), absl::StatusCode::kInvalidArgument);
        ASSERT_NE(plain.status().message().find("element " +
                                                std::to_string(position)),
                  absl::string_view::npos)
            << plain.status();
        std::vector<float> residual(count);
        ASSERT_EQ(codec_->Encode(values, {.residual = residual}, target)
                      .status()
                      .code(),
                  absl::StatusCode::kInvalidArgument);
      }
    }
  }
}

TEST_P(CodecConformanceTest, ASumThatOverflowsIsAnError) {
  const std::vector<float> values(40, 3e38f);
  std::vector<float> residual(40, 3e38f);
  std::vector<std::byte> target(codec_->MaxEncodedBytes(40));
  EXPECT_EQ(
      codec_->Encode(values, {.residual = residual}, target).status().code(),
      absl::StatusCode::kInvalidArgument);
}

TEST_P(CodecConformanceTest, RefusesOtherLengths) {
  for (size_t count : kSizes) {
    auto payload = MustEncode(*codec_, CodecInput("gaussian", count));
    for (size_t size = 0; size < payload.size(); ++size) {
      const std::vector<std::byte> cut(payload.begin(), payload.begin() + size);
      ASSERT_EQ(codec_->Validate(cut, count).code(),
                absl::StatusCode::kDataLoss)
          << "count " << count << " cut to " << size;
    }
    for (std::byte more : {std::byte{0}, std::byte{0xff}}) {
      payload.push_back(more);
      ASSERT_EQ(codec_->Validate(payload, count).code(),
                absl::StatusCode::kDataLoss)
          << count;
    }
  }
}

TEST_P(CodecConformanceTest, DamagedPayloadsAreRefusedOrHarmless) {
  for (size_t count : {1, 5, 13, 320, 513, 1100}) {
    const auto good = MustEncode(*codec_, CodecInput("gaussian", count));
    for (uint64_t round = 0; round < 400; ++round) {
      auto bad = good;
      const uint32_t flips = 1 + RandomBits(round, 0) % 4;
      for (uint32_t f = 0; f < flips; ++f) {
        bad[RandomBits(round, 2 * f + 1) % bad.size()] ^=
            static_cast<std::byte>(1 << RandomBits(round, 2 * f + 2) % 8);
      }
      if (!codec_->Validate(bad, count).ok()) continue;
      for (float value : Decode(*codec_, bad, count)) {
        ASSERT_TRUE(std::isfinite(value));
      }
    }
  }
}

TEST_P(CodecConformanceTest, AddsWeightTimesValue) {
  constexpr size_t kCount = 1300;
  const auto payload = MustEncode(*codec_, CodecInput("laplace", kCount));
  const auto decoded = Decode(*codec_, payload, kCount);
  const auto start = CodecInput("gaussian", kCount, 4);
  for (float weight : {0.25f, -3.0f, 0.1f}) {
    auto target = start;
    codec_->DecodeAdd(payload, weight, target);
    for (size_t i = 0; i < kCount; ++i) {
      const double expected = start[i] + double{weight} * decoded[i];
      ASSERT_NEAR(target[i], expected, 1e-6 * (1 + std::fabs(expected)));
    }
  }
}

TEST_P(CodecConformanceTest, TheKeyAndTheIndexDecideTheDraws) {
  const auto values = CodecInput("gaussian", 2000);
  const auto payload = MustEncode(*codec_, values, {.key = 1});
  EXPECT_EQ(MustEncode(*codec_, values, {.key = 1}), payload);
  EXPECT_EQ(MustEncode(*codec_, values, {.key = 2}) != payload,
            GetParam().stochastic);
  EXPECT_EQ(
      MustEncode(*codec_, values, {.key = 1, .first_index = 1}) != payload,
      GetParam().stochastic);
}

TEST_P(CodecConformanceTest, TypicalBytesAreTypical) {
  if (GetParam().any_size) GTEST_SKIP() << "no size is typical";
  for (size_t count : {size_t{5000}, kBlockElementsMax}) {
    const auto payload = MustEncode(*codec_, CodecInput("gaussian", count));
    EXPECT_NEAR(static_cast<double>(codec_->TypicalEncodedBytes(count)) /
                    static_cast<double>(payload.size()),
                1, 0.05);
    EXPECT_LE(codec_->TypicalEncodedBytes(count),
              codec_->MaxEncodedBytes(count));
  }
}

TEST_P(CodecConformanceTest, NeverAboveABlocksPayload) {
  EXPECT_LE(codec_->MaxEncodedBytes(kBlockElementsMax), kBlockPayloadBytesMax);
}

INSTANTIATE_TEST_SUITE_P(All, CodecConformanceTest,
                         testing::ValuesIn(CodecCases()),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace terse
