#include "gtest/gtest.h"
#include "tests/golden/golden_files.h"
#include "tests/golden/mirror/mirror_cases.h"

namespace terse {
namespace {

TEST(GoldenMirrorTest, ShardsSendTheGoodPayloads) {
  for (const auto& [name, overrides] : MirrorCases()) {
    for (const bool sum : {false, true}) {
      const Buffer payload = MirrorCase(overrides, sum);
      EXPECT_EQ(std::vector<std::byte>(payload.bytes().begin(),
                                       payload.bytes().end()),
                ReadGolden(
                    std::string(TERSE_SOURCE_DIR "/tests/golden/mirror/good/") +
                    name + (sum ? ".mirror_sum" : ".mirror")))
          << name;
    }
  }
}

}  // namespace
}  // namespace terse
