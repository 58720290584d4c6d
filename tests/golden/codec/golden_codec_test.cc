#include <cstring>
#include <map>
#include <set>

#include "gtest/gtest.h"
#include "tests/golden/codec/golden_cases.h"
#include "tests/golden/golden_files.h"

namespace terse {
namespace {

namespace fs = std::filesystem;

const fs::path& Folder() {
  static const auto* const folder =
      new fs::path(fs::path(TERSE_SOURCE_DIR) / "tests/golden/codec");
  return *folder;
}

TEST(GoldenCodecTest, EncodesToTheGoodPayloads) {
  for (const CodecCase& one : CodecCases()) {
    const auto codec = MakeCodecFromText(one.options);
    for (const GoldenInput& input : kGoldenInputs) {
      const std::string name = one.name + "__" + input.Name();
      const auto values =
          ReadGoldenFloats(Folder() / "inputs" / (input.Name() + ".f32"));
      ASSERT_EQ(values.size(), input.count) << name;
      const auto payload = ReadGolden(Folder() / "good" / (name + ".payload"));
      EXPECT_EQ(MustEncode(*codec, values, kGoldenArgs), payload) << name;
    }
  }
}

TEST(GoldenCodecTest, GoodPayloadsDecodeToTheirFloats) {
  for (const CodecCase& one : CodecCases()) {
    const auto codec = MakeCodecFromText(one.options);
    for (const GoldenInput& input : kGoldenInputs) {
      const std::string name = one.name + "__" + input.Name();
      const auto payload = ReadGolden(Folder() / "good" / (name + ".payload"));
      ASSERT_TRUE(codec->Validate(payload, input.count).ok()) << name;
      const auto expected =
          ReadGoldenFloats(Folder() / "good" / (name + ".f32"));
      const auto decoded = Decode(*codec, payload, input.count);
      ASSERT_EQ(decoded.size(), expected.size());
      EXPECT_EQ(std::memcmp(decoded.data(), expected.data(),
                            expected.size() * sizeof(float)),
                0)
          << name;
    }
  }
}

TEST(GoldenCodecTest, BadPayloadsAreRefusedWithTheirCode) {
  std::map<std::string, std::string> options;
  for (const CodecCase& one : CodecCases()) options[one.name] = one.options;
  std::set<std::string> refused;
  for (const auto& entry : fs::directory_iterator(Folder() / "bad")) {
    const std::string name = entry.path().filename().string();
    const std::string codec_case = name.substr(0, name.find("__"));
    const size_t dot = name.find('.');
    const size_t count = std::stoul(name.substr(name.rfind("__n", dot) + 3));
    const std::string code = name.substr(dot + 1, name.rfind('.') - dot - 1);
    ASSERT_TRUE(options.count(codec_case)) << name;
    const auto codec = MakeCodecFromText(options[codec_case]);
    const auto status = codec->Validate(ReadGolden(entry.path()), count);
    EXPECT_EQ(absl::StatusCodeToString(status.code()), code)
        << name << ": " << status;
    refused.insert(codec_case);
  }
  EXPECT_EQ(refused.size(), options.size()) << "a codec has no bad payload";
}

}  // namespace
}  // namespace terse
