#include "common/frame/frame.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "common/base/crc32c.h"

namespace terse {
namespace {

using ::testing::HasSubstr;

std::string Serialize(const Frame& frame) {
  const FrameHeader header = SerializeHeader(frame);
  return std::string(reinterpret_cast<const char*>(header.data()),
                     header.size()) +
         std::string(frame.payload.text());
}

Frame SampleFrame(size_t bytes, uint64_t step = 0x1122334455667788) {
  std::string payload(bytes, '\0');
  for (size_t i = 0; i < bytes; ++i) payload[i] = static_cast<char>(i * 7 + 3);
  return MakeFrame(6, step, 0xaabbccdd, Buffer::CopyOf(payload));
}

class FrameTest : public ::testing::Test {
 protected:
  absl::Status Append(std::string_view bytes) {
    return assembler_.Append(std::as_bytes(std::span(bytes)),
                             [this](Frame frame) {
                               frames_.push_back(std::move(frame));
                               return on_frame_;
                             });
  }

  FrameAssembler assembler_{1 << 20};
  std::vector<Frame> frames_;
  absl::Status on_frame_;
};

TEST_F(FrameTest, HeaderLayout) {
  const std::string bytes = Serialize(SampleFrame(3));
  ASSERT_EQ(bytes.size(), 27);
  EXPECT_EQ(bytes.substr(0, 20),
            std::string("TF\x01\x06\x03\0\0\0\x88\x77\x66\x55\x44\x33\x22\x11"
                        "\xdd\xcc\xbb\xaa",
                        20));
  const std::string covered = bytes.substr(24) + bytes.substr(0, 20);
  const uint32_t crc = Crc32c(std::as_bytes(std::span(covered)));
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(static_cast<uint8_t>(bytes[20 + i]), (crc >> (8 * i)) & 0xff);
  }
}

TEST_F(FrameTest, RoundTrip) {
  for (size_t bytes : {0, 1, 2, 24, 1000, 16384, 16385, 1 << 20}) {
    frames_.clear();
    const Frame sent = SampleFrame(bytes);
    ASSERT_TRUE(Append(Serialize(sent)).ok());
    ASSERT_EQ(frames_.size(), 1);
    EXPECT_EQ(Serialize(frames_[0]), Serialize(sent));
    EXPECT_EQ(frames_[0].payload_crc32c, sent.payload_crc32c);
    EXPECT_EQ(frames_[0].WireBytes(), 24 + bytes);
  }
}

TEST_F(FrameTest, SplitAtEveryByte) {
  const std::string bytes =
      Serialize(SampleFrame(40)) + Serialize(SampleFrame(0));
  for (size_t split = 0; split <= bytes.size(); ++split) {
    frames_.clear();
    ASSERT_TRUE(Append(bytes.substr(0, split)).ok());
    ASSERT_TRUE(Append(bytes.substr(split)).ok());
    ASSERT_EQ(frames_.size(), 2) << split;
    EXPECT_EQ(Serialize(frames_[0]) + Serialize(frames_[1]), bytes);
  }
}

TEST_F(FrameTest, ByteByByte) {
  const std::string bytes = Serialize(SampleFrame(100));
  for (char byte : bytes) {
    EXPECT_TRUE(frames_.empty());
    ASSERT_TRUE(Append(std::string_view(&byte, 1)).ok());
  }
  ASSERT_EQ(frames_.size(), 1);
  EXPECT_EQ(Serialize(frames_[0]), bytes);
}

TEST_F(FrameTest, ManyFramesInOneChunk) {
  std::string bytes;
  for (int i = 0; i < 1000; ++i) bytes += Serialize(SampleFrame(i % 50, i));
  ASSERT_TRUE(Append(bytes).ok());
  ASSERT_EQ(frames_.size(), 1000);
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(frames_[i].step, i);
}

TEST_F(FrameTest, TruncatedIsIncomplete) {
  const std::string bytes = Serialize(SampleFrame(40));
  for (size_t length = 0; length < bytes.size(); ++length) {
    FrameAssembler assembler(1 << 20);
    ASSERT_TRUE(assembler
                    .Append(std::as_bytes(std::span(bytes).first(length)),
                            [](Frame) -> absl::Status {
                              ADD_FAILURE() << "an incomplete frame";
                              return absl::OkStatus();
                            })
                    .ok());
  }
}

TEST_F(FrameTest, EveryFlippedBitIsFound) {
  const std::string good = Serialize(SampleFrame(9));
  for (size_t bit = 0; bit < 8 * good.size(); ++bit) {
    std::string bad = good;
    bad[bit / 8] ^= static_cast<char>(1 << (bit % 8));
    FrameAssembler assembler(9);
    const absl::Status status =
        assembler.Append(std::as_bytes(std::span(bad)), [](Frame) {
          ADD_FAILURE() << "a damaged frame";
          return absl::OkStatus();
        });
    // A shorter payload leaves bytes behind and a longer one exceeds the limit.
    EXPECT_FALSE(status.ok()) << bit;
  }
}

TEST_F(FrameTest, BadMagic) {
  std::string bytes = Serialize(SampleFrame(4));
  bytes[1] = 'G';
  EXPECT_EQ(Append(bytes).code(), absl::StatusCode::kDataLoss);
}

TEST_F(FrameTest, UnknownVersion) {
  std::string bytes = Serialize(SampleFrame(4));
  bytes[2] = 2;
  const absl::Status status = Append(bytes);
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(status.message()), HasSubstr("version 2"));
}

TEST_F(FrameTest, ChecksumMismatch) {
  std::string bytes = Serialize(SampleFrame(4));
  bytes.back() ^= 1;
  const absl::Status status = Append(bytes);
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(status.message()), HasSubstr("checksum"));
  EXPECT_TRUE(frames_.empty());
}

TEST_F(FrameTest, LengthAboveLimit) {
  assembler_.set_payload_bytes_max(99);
  ASSERT_TRUE(Append(Serialize(SampleFrame(99))).ok());
  const absl::Status status = Append(Serialize(SampleFrame(100)));
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(status.message()), HasSubstr("100 bytes"));
  EXPECT_EQ(frames_.size(), 1);
}

TEST_F(FrameTest, LengthAboveLimitIsKnownFromTheHeaderAlone) {
  assembler_.set_payload_bytes_max(99);
  EXPECT_EQ(Append(Serialize(SampleFrame(100)).substr(0, 24)).code(),
            absl::StatusCode::kResourceExhausted);
}

TEST_F(FrameTest, LongPayloadGrowsWithItsBytes) {
  const std::string bytes = Serialize(SampleFrame(5'000'001));
  assembler_.set_payload_bytes_max(kFramePayloadBytesMax);
  for (size_t at = 0; at < bytes.size(); at += 65536) {
    ASSERT_TRUE(Append(std::string_view(bytes).substr(at, 65536)).ok());
  }
  ASSERT_EQ(frames_.size(), 1);
  EXPECT_EQ(Serialize(frames_[0]), bytes);
}

TEST_F(FrameTest, StaysFailed) {
  EXPECT_FALSE(Append(std::string(24, 'x')).ok());
  EXPECT_EQ(Append(Serialize(SampleFrame(1))).code(),
            absl::StatusCode::kDataLoss);
  EXPECT_TRUE(frames_.empty());
}

TEST_F(FrameTest, ErrorOfTheReceiverIsReturnedAndLasts) {
  on_frame_ = absl::AbortedError("enough");
  const std::string bytes = Serialize(SampleFrame(1));
  EXPECT_EQ(Append(bytes + bytes), on_frame_);
  EXPECT_EQ(Append(bytes), on_frame_);
  EXPECT_EQ(frames_.size(), 1);
}

}  // namespace
}  // namespace terse
