// What the golden files hold.
#ifndef TERSE_TESTS_GOLDEN_FRAME_GOLDEN_FRAMES_H_
#define TERSE_TESTS_GOLDEN_FRAME_GOLDEN_FRAMES_H_

#include <string>
#include <vector>

#include "common/base/random.h"
#include "common/frame/frame.h"

namespace terse {

// The limit the bad ones are read with.
inline constexpr size_t kGoldenPayloadBytesMax = 1 << 16;

inline std::string Bytes(const Frame& frame) {
  const FrameHeader header = SerializeHeader(frame);
  return std::string(reinterpret_cast<const char*>(header.data()),
                     header.size()) +
         std::string(frame.payload.text());
}

struct GoldenFrame {
  std::string file;
  Frame frame;
};

inline std::vector<GoldenFrame> GoodFrames() {
  std::string noise(1000, '\0');
  for (size_t i = 0; i < noise.size(); ++i) {
    noise[i] = static_cast<char>(RandomBits(1, i));
  }
  return {
      {"empty_payload", MakeFrame(16, 0, 0, Buffer())},
      {"text", MakeFrame(1, 1, 2, Buffer::CopyOf("terse"))},
      {"largest_fields",
       MakeFrame(255, ~uint64_t{0}, ~uint32_t{0}, Buffer::CopyOf("\xff"))},
      {"noise", MakeFrame(6, 123456789012345, 77, Buffer::CopyOf(noise))},
  };
}

struct DamagedFrame {
  std::string file;  // Ends with the status its reader gives.
  std::string bytes;
};

inline std::vector<DamagedFrame> BadFrames() {
  const std::string good = Bytes(GoodFrames()[1].frame);
  const auto with = [&](size_t at, char value) {
    std::string bytes = good;
    bytes[at] = value;
    return bytes;
  };
  return {
      {"magic.DATA_LOSS", with(1, 'G')},
      {"version_0.DATA_LOSS", with(2, 0)},
      {"version_2.DATA_LOSS", with(2, 2)},
      {"type_changed.DATA_LOSS", with(3, 2)},
      {"shorter_length.DATA_LOSS", with(4, 4)},
      {"length_above_limit.RESOURCE_EXHAUSTED", with(7, 64)},
      {"step_changed.DATA_LOSS", with(8, 9)},
      {"block_changed.DATA_LOSS", with(16, 9)},
      {"checksum_changed.DATA_LOSS", with(20, good[20] ^ 1)},
      {"payload_changed.DATA_LOSS", with(24, 'T')},
      {"text_protocol.DATA_LOSS", "GET / HTTP/1.1\r\nHost: terse\r\n\r\n"},
  };
}

}  // namespace terse

#endif  // TERSE_TESTS_GOLDEN_FRAME_GOLDEN_FRAMES_H_
