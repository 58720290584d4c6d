#include "common/base/crc32c.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "common/base/random.h"

namespace terse {
namespace {

uint32_t Of(std::string_view text) {
  return Crc32c(std::as_bytes(std::span(text.data(), text.size())));
}

// RFC 3720, appendix B.4, and the usual check value.
TEST(Crc32cTest, KnownValues) {
  EXPECT_EQ(Of(""), 0u);
  EXPECT_EQ(Of("123456789"), 0xe3069283u);
  EXPECT_EQ(Of(std::string(32, '\0')), 0x8a9136aau);
  EXPECT_EQ(Of(std::string(32, '\xff')), 0x62a8ab43u);
}

TEST(Crc32cTest, EqualsTheReferenceAtEveryLengthAndAlignment) {
  std::vector<std::byte> bytes(5000);
  for (size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] = static_cast<std::byte>(RandomBits(1, i));
  }
  for (size_t offset : {0, 1, 3, 8}) {
    for (size_t length = 0; length < 4900; length += length < 600 ? 1 : 97) {
      const auto part = std::span(bytes).subspan(offset, length);
      ASSERT_EQ(ExtendCrc32c(12345, part), ExtendCrc32cReference(12345, part))
          << offset << " " << length;
    }
  }
}

TEST(Crc32cTest, ExtendsOverPieces) {
  const std::string text = "terse gradients over thin wires";
  for (size_t cut = 0; cut <= text.size(); ++cut) {
    const auto bytes = std::as_bytes(std::span(text));
    EXPECT_EQ(ExtendCrc32c(Crc32c(bytes.first(cut)), bytes.subspan(cut)),
              Of(text));
  }
}

}  // namespace
}  // namespace terse
