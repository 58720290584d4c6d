#include "common/base/buffer.h"

#include <gtest/gtest.h>

#include <cstring>
#include <thread>
#include <vector>

namespace terse {
namespace {

TEST(BufferTest, EmptyHasNoBytes) {
  EXPECT_TRUE(Buffer().empty());
  EXPECT_EQ(Buffer::Allocate(0).size(), 0);
  EXPECT_EQ(Buffer::CopyOf("").text(), "");
}

TEST(BufferTest, EverySizeIsWritableAndAligned) {
  for (size_t bytes : {1, 63, 255, 256, 257, 4096, 65537, 2097152, 2097153}) {
    Buffer buffer = Buffer::Allocate(bytes);
    ASSERT_EQ(buffer.size(), bytes);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(buffer.bytes().data()) % 64, 0);
    std::memset(buffer.mutable_bytes().data(), 0x5a, bytes);
    EXPECT_EQ(buffer.bytes().back(), std::byte{0x5a});
  }
}

TEST(BufferTest, CopiesShareTheBytes) {
  Buffer buffer = Buffer::CopyOf("shared");
  const Buffer copy = buffer;
  EXPECT_EQ(copy.bytes().data(), buffer.bytes().data());
  buffer = Buffer();
  EXPECT_EQ(copy.text(), "shared");
}

TEST(BufferTest, TruncateKeepsTheFront) {
  Buffer buffer = Buffer::CopyOf("front and back");
  buffer.Truncate(5);
  EXPECT_EQ(buffer.text(), "front");
}

TEST(BufferTest, TruncateDoesNotLengthen) {
  Buffer buffer = Buffer::CopyOf("abc");
  EXPECT_DEATH(buffer.Truncate(4), "check failed");
}

TEST(BufferTest, FreedMemoryIsUsedAgain) {
  const std::byte* first = Buffer::Allocate(100'000).bytes().data();
  EXPECT_EQ(Buffer::Allocate(100'001).bytes().data(), first);
}

// Two buffers alive at a time never share memory, whoever frees them.
TEST(BufferTest, ManyThreadsDoNotDisturbEachOther) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([t] {
      for (int i = 0; i < 2000; ++i) {
        Buffer a = Buffer::Allocate(300 + i);
        Buffer b = Buffer::Allocate(300 + i);
        std::memset(a.mutable_bytes().data(), t, a.size());
        std::memset(b.mutable_bytes().data(), t + 10, b.size());
        ASSERT_EQ(a.bytes()[i % 300], static_cast<std::byte>(t));
        ASSERT_EQ(b.bytes()[i % 300], static_cast<std::byte>(t + 10));
      }
    });
  }
  for (auto& thread : threads) thread.join();
}

}  // namespace
}  // namespace terse
