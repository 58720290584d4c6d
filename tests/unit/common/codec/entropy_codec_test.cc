#include "common/codec/entropy_codec.h"

#include <vector>

#include "gtest/gtest.h"
#include "tests/conformance/codec/codec_cases.h"

namespace terse {
namespace {

size_t EncodedBytes(const std::string& options,
                    const std::vector<float>& values) {
  const auto codec = MakeCodecFromText(options);
  std::vector<std::byte> payload(codec->MaxEncodedBytes(values.size()));
  const auto bytes = codec->Encode(values, {.key = 1}, payload);
  EXPECT_TRUE(bytes.ok());
  return *bytes;
}

TEST(EntropyCodecTest, AutoCodesWhereItSavesAnEighth) {
  const auto values = CodecInput("gaussian", 100000);
  // 1.22 of 1.6 bits, and 7.4 of 8.
  const std::string tern = "kind: TERNGRAD";
  EXPECT_EQ(EncodedBytes(tern + " coding: AUTO", values),
            EncodedBytes(tern + " coding: ENTROPY", values));
  EXPECT_LT(EncodedBytes(tern + " coding: AUTO", values),
            EncodedBytes(tern, values) * 7 / 8);

  const std::string levels = "kind: QSGD levels: 127";
  const size_t fixed = EncodedBytes(levels, values);
  const size_t coded = EncodedBytes(levels + " coding: ENTROPY", values);
  ASSERT_LT(coded, fixed);
  ASSERT_GT(coded, fixed * 7 / 8);
  EXPECT_EQ(EncodedBytes(levels + " coding: AUTO", values), fixed);
}

TEST(EntropyCodecTest, NamesItsCoding) {
  EXPECT_EQ(MakeCodecFromText("kind: DOREFA coding: AUTO")->Describe(),
            "dorefa:bits=4,coding=auto");
  EXPECT_EQ(MakeCodecFromText("kind: DOREFA coding: ENTROPY")->Describe(),
            "dorefa:bits=4,coding=entropy");
}

}  // namespace
}  // namespace terse
