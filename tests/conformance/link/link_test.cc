#include "tests/conformance/link/link_test.h"

#include "common/base/random.h"

namespace terse {
namespace {

constexpr FrameType kType = 7;

Buffer Pattern(size_t bytes, uint64_t key) {
  Buffer buffer = Buffer::Allocate(bytes);
  const auto target = buffer.mutable_bytes();
  for (size_t i = 0; i < bytes; ++i) {
    target[i] = static_cast<std::byte>(Mix64(key + (i >> 3)) >> (8 * (i & 7)));
  }
  return buffer;
}

}  // namespace

Frame PatternFrame(size_t bytes, uint64_t step, uint32_t block) {
  return MakeFrame(kType, step, block, Pattern(bytes, step));
}

bool Same(const Frame& a, const Frame& b) {
  return a.type == b.type && a.step == b.step && a.block == b.block &&
         a.payload.text() == b.payload.text() &&
         a.payload_crc32c == b.payload_crc32c;
}

INSTANTIATE_TEST_SUITE_P(Drivers, LinkTest, ::testing::ValuesIn(LinkDrivers()),
                         [](const auto& parameter) {
                           return parameter.param.name;
                         });

}  // namespace terse
