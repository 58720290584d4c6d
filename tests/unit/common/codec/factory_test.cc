#include "common/codec/factory.h"

#include "common/base/limits.h"
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
}

TEST(CodecFactoryTest, OptionsOutOfRangeAreErrors) {
  for (const char* options :
       {"kind: TERNGRAD clip_sigmas: -1", "kind: TERNGRAD clip_sigmas: nan",
        "kind: QSGD levels: 0", "kind: QSGD levels: 32768",
        "kind: QSGD bucket: 0", "kind: QSGD bucket: 262145",
        "kind: DOREFA bits: 0", "kind: DOREFA bits: 17", "kind: TOPK ratio: 0",
        "kind: TOPK ratio: 1.5", "kind: TOPK ratio: nan"}) {
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

}  // namespace
}  // namespace terse
