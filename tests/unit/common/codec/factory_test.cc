#include "common/codec/factory.h"

#include <algorithm>
#include <cmath>

#include "common/base/limits.h"
#include "common/codec/elias_codec.h"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"
#include "tests/conformance/codec/codec_cases.h"

namespace terse {
namespace {

absl::Status ErrorOf(const std::string& options) {
  GradientCodec message;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(options, &message));
  return MakeCodec(message).status();
}

TEST(CodecFactoryTest, DescribesWithOptions) {
  const auto describe = [](const std::string& options) {
    return MakeCodecFromText(options)->Describe();
  };
  EXPECT_EQ(describe(""), "none");
  EXPECT_EQ(describe("kind: FP16"), "fp16");
  EXPECT_EQ(describe("kind: TERNGRAD"), "terngrad:clip_sigmas=2.5");
  EXPECT_EQ(describe("kind: QSGD norm: L2"),
            "qsgd:levels=7,bucket=512,norm=l2");
  EXPECT_EQ(describe("kind: DOREFA bits: 6"), "dorefa:bits=6");
  EXPECT_EQ(describe("kind: TOPK"), "topk:ratio=0.01");
  EXPECT_EQ(describe("kind: TOPK per: TENSOR values { kind: QSGD }"),
            "topk:ratio=0.01,per=tensor,values=(qsgd:levels=7,bucket=512,"
            "norm=max)");
  EXPECT_EQ(describe("kind: SIGN scale: SHARED"), "sign:scale=shared");
  EXPECT_EQ(describe("kind: DOREFA scale: GIVEN coding: ENTROPY"),
            "dorefa:bits=4,scale=given,coding=entropy");
  EXPECT_EQ(describe("kind: QSGD coding: ELIAS"),
            "qsgd:levels=7,bucket=512,norm=max,coding=elias");
  EXPECT_EQ(describe("kind: TERM"), "term:bits=4,group=8,terms=12");
  EXPECT_EQ(describe("kind: SIGN nan: PROPAGATE"), "sign:nan=propagate");
}

TEST(CodecFactoryTest, OptionsOutOfRangeAreErrors) {
  for (const char* options :
       {"kind: TERNGRAD clip_sigmas: -1",
        "kind: TERNGRAD clip_sigmas: nan",
        "kind: QSGD levels: 0",
        "kind: QSGD levels: 32768",
        "kind: QSGD bucket: 0",
        "kind: QSGD bucket: 262145",
        "kind: DOREFA bits: 0",
        "kind: DOREFA bits: 17",
        "kind: TOPK ratio: 0",
        "kind: TOPK ratio: 1.5",
        "kind: TOPK ratio: nan",
        "kind: TOPK warmup_ratios: [0.5, 0]",
        "kind: TOPK values { kind: DOREFA bits: 17 }",
        "kind: RANDOMK values { kind: TERNGRAD coding: ELIAS }",
        "kind: RANDOMK rescale: true error_feedback: true",
        "kind: MAJORITY error_feedback: true",
        "kind: DOREFA coding: ELIAS",
        "kind: QSGD coding: ELIAS scale: SHARED",
        "kind: TERM bits: 1",
        "kind: SIGN scale: SHARED nan: PROPAGATE",
        "kind: SIGN scale: GIVEN scale_max: inf"}) {
    EXPECT_EQ(ErrorOf(options).code(), absl::StatusCode::kInvalidArgument)
        << options;
  }
}

TEST(CodecFactoryTest, RefusesWhatExceedsAFrame) {
  EXPECT_EQ(ErrorOf("kind: QSGD bucket: 1").code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(ErrorOf("kind: QSGD bucket: 2").ok());
}

// Bytes of a block of 2^18 and of a small tensor: what the paper promises.
TEST(CodecFactoryTest, BytesOnTheWire) {
  const auto bytes = [](const std::string& options, size_t count) {
    const auto codec = MakeCodecFromText(options);
    return MustEncode(*codec, CodecInput("gaussian", count)).size();
  };
  constexpr size_t kBlock = kBlockElementsMax;
  EXPECT_EQ(bytes("kind: NONE", kBlock), 4 * kBlock);
  EXPECT_EQ(bytes("kind: FP16", kBlock), 2 * kBlock);
  EXPECT_EQ(bytes("kind: TERNGRAD", kBlock), 52433u);
  EXPECT_EQ(bytes("kind: TERNGRAD", 7), 4 + 2u);
  EXPECT_EQ(bytes("kind: QSGD", kBlock), kBlock / 2 + 512 * 4);
  EXPECT_EQ(bytes("kind: QSGD levels: 1 bucket: 128", 130), 2 * 4 + 33u);
  EXPECT_EQ(bytes("kind: QSGD levels: 127", 512), 4 + 512u);
  EXPECT_EQ(bytes("kind: QSGD levels: 128", 512), 4 + 576u);
  EXPECT_EQ(bytes("kind: DOREFA bits: 6", kBlock), 4 + kBlock / 8 * 6);
  EXPECT_EQ(bytes("kind: DOREFA bits: 1", 9), 4 + 2u);
  EXPECT_EQ(bytes("kind: TOPK ratio: 1", 100), 1 + 400u);
  // 2622 values; their positions need 8.08 bits each in theory.
  EXPECT_NEAR(bytes("kind: TOPK", kBlock), 2622 * (4 + 8.12 / 8), 10);
}

TEST(CodecFactoryTest, TernaryBlockWithItsFrameIsAtMost1601Millibits) {
  constexpr double kFrameHeaderBytes = 24;
  const auto codec = MakeCodecFromText("kind: TERNGRAD");
  const double bytes =
      kFrameHeaderBytes + codec->MaxEncodedBytes(kBlockElementsMax);
  EXPECT_LE(8 * bytes / kBlockElementsMax, 1.601);
}

TEST(CodecFactoryTest, TopKBeyondTheBreakEvenKeepsAll) {
  const auto codec = MakeCodecFromText("kind: TOPK ratio: 0.99");
  EXPECT_EQ(codec->MaxEncodedBytes(10000), 1 + 40000u);
}

TEST(CodecFactoryTest, RandomKMultipliesOnlyWithoutErrorFeedback) {
  const std::vector<float> values(100, 1.0f);
  for (const char* feedback : {"false", "true"}) {
    const auto codec = MakeCodecFromText(
        std::string("kind: RANDOMK ratio: 0.1 error_feedback: ") + feedback);
    const auto sent = Decode(*codec, MustEncode(*codec, values), 100);
    EXPECT_EQ(*std::max_element(sent.begin(), sent.end()),
              feedback[0] == 't' ? 1.0f : 10.0f);
  }
}

TEST(CodecFactoryTest, WhatIsNotFinitePropagatesAsABlockOfNan) {
  for (const char* options :
       {"kind: TERNGRAD nan: PROPAGATE", "kind: TOPK nan: PROPAGATE",
        "kind: NONE nan: PROPAGATE", "kind: QSGD nan: PROPAGATE"}) {
    const auto codec = MakeCodecFromText(options);
    auto values = CodecInput("gaussian", 400);
    const auto finite = MustEncode(*codec, values);
    ASSERT_TRUE(codec->Validate(finite, 400).ok());
    for (float value : Decode(*codec, finite, 400)) {
      ASSERT_TRUE(std::isfinite(value));
    }
    values[7] = -INFINITY;
    auto payload = MustEncode(*codec, values);
    ASSERT_EQ(payload.size(), 1u);
    ASSERT_TRUE(codec->Validate(payload, 400).ok());
    for (float value : Decode(*codec, payload, 400)) {
      ASSERT_TRUE(std::isnan(value));
    }
    payload[0] = std::byte{2};
    EXPECT_TRUE(absl::IsDataLoss(codec->Validate(payload, 400)));
    payload = {std::byte{1}, std::byte{0}};
    EXPECT_TRUE(absl::IsDataLoss(codec->Validate(payload, 400)));
    EXPECT_TRUE(absl::IsDataLoss(codec->Validate({}, 400)));
  }
}

// Sizes beyond 32 bits, without such blocks.
TEST(CodecFactoryTest, SizesOfHugeBlocksDoNotWrap) {
  for (const CodecCase& one : CodecCases()) {
    const auto codec = MakeCodecFromText(one.options);
    size_t last = 0, last_typical = 0;
    for (int shift = 20; shift <= 31; ++shift) {
      const size_t count = (size_t{1} << shift) + 3;
      const size_t most = codec->MaxEncodedBytes(count);
      const size_t typical = codec->TypicalEncodedBytes(count);
      // Doubling the elements doubles the bytes; what is typical of positions
      // takes whole bits each.
      if (last > 0) {
        EXPECT_NEAR(static_cast<double>(most) / last, 2, 0.02) << one.name;
        EXPECT_NEAR(static_cast<double>(typical) / last_typical, 2, 0.2)
            << one.name;
      }
      EXPECT_LE(typical, most) << one.name;
      last = most;
      last_typical = typical;
    }
    // Of 2^31 elements no payload is accepted that is short. (Those of any size
    // may stand for as many zeros, and would be unpacked.)
    if (one.any_size) continue;
    const std::vector<std::byte> some(100);
    EXPECT_FALSE(codec->Validate(some, size_t{1} << 31).ok()) << one.name;
  }
}

TEST(CodecFactoryTest, EliasCodesAreThoseOfThePaper) {
  const auto bits = [](uint32_t value) { return OmegaBits(value); };
  EXPECT_EQ(bits(1), 1);
  EXPECT_EQ(bits(2), 3);
  EXPECT_EQ(bits(3), 3);
  EXPECT_EQ(bits(4), 6);
  EXPECT_EQ(bits(7), 6);
  EXPECT_EQ(bits(8), 7);
  EXPECT_EQ(bits(15), 7);
  EXPECT_EQ(bits(16), 11);
  EXPECT_EQ(bits(31), 11);
  // Level 7 of 7 at position 7: norm, one level, 8 = 1110000 with the first bit
  // lowest, the sign 0, 7 = 101110.
  std::vector<float> values(512);
  values[7] = 2.0f;
  const auto codec = MakeCodecFromText("kind: QSGD coding: ELIAS");
  const auto payload = MustEncode(*codec, values);
  ASSERT_EQ(payload.size(), 4 + 4 + 2u);
  EXPECT_EQ(payload[4], std::byte{1});
  EXPECT_EQ(payload[8], std::byte{0b00000111});
  EXPECT_EQ(payload[9], std::byte{0b00011101});
}

std::string DefaultOf(const google::protobuf::FieldDescriptor& field) {
  switch (field.cpp_type()) {
    case google::protobuf::FieldDescriptor::CPPTYPE_ENUM:
      return field.default_value_enum()->name();
    case google::protobuf::FieldDescriptor::CPPTYPE_BOOL:
      return std::to_string(field.default_value_bool());
    case google::protobuf::FieldDescriptor::CPPTYPE_FLOAT:
      return std::to_string(field.default_value_float());
    case google::protobuf::FieldDescriptor::CPPTYPE_UINT32:
      return std::to_string(field.default_value_uint32());
    default:
      ADD_FAILURE() << field.name() << " is of another type";
      return "";
  }
}

// The one is read as the other: what drifts apart would be read as something
// else.
TEST(CodecFactoryTest, OptionsOfValuesAreThoseOfGradients) {
  const auto* const values = ValueCodec::descriptor();
  const auto* const gradient = GradientCodec::descriptor();
  for (int i = 0; i < values->field_count(); ++i) {
    const auto* const field = values->field(i);
    const auto* const same = gradient->FindFieldByNumber(field->number());
    ASSERT_NE(same, nullptr) << field->name();
    EXPECT_EQ(same->name(), field->name());
    ASSERT_EQ(same->type(), field->type()) << field->name();
    if (field->name() == "kind") continue;  // Enums of their own; below.
    EXPECT_EQ(same->enum_type(), field->enum_type()) << field->name();
    EXPECT_EQ(DefaultOf(*same), DefaultOf(*field)) << field->name();
  }
  const auto* const kinds = ValueCodec::Kind_descriptor();
  for (int i = 0; i < kinds->value_count(); ++i) {
    const auto* const same =
        GradientCodec::Kind_descriptor()->FindValueByNumber(
            kinds->value(i)->number());
    ASSERT_NE(same, nullptr) << kinds->value(i)->name();
    EXPECT_EQ(same->name(), kinds->value(i)->name());
  }
}

}  // namespace
}  // namespace terse
