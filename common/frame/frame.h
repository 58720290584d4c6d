// A frame is what links carry: a 24-byte header and a payload the frame layer
// does not look into. Format: FORMAT.md beside this file.
#ifndef TERSE_COMMON_FRAME_FRAME_H_
#define TERSE_COMMON_FRAME_FRAME_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>

#include "absl/status/status.h"
#include "common/base/buffer.h"
#include "common/base/limits.h"

namespace terse {

inline constexpr size_t kFrameHeaderBytes = 24;
inline constexpr uint8_t kFrameVersion = 1;

// The layers above give types their meaning (proto/wire.proto); 0 is not used.
using FrameType = uint8_t;

struct Frame {
  FrameType type = 0;
  uint64_t step = 0;
  uint32_t block = 0;
  Buffer payload;
  uint32_t payload_crc32c = 0;
  // Not sent: of the frames that wait for one peer, lower numbers go first.
  uint32_t urgency = 0;

  size_t WireBytes() const { return kFrameHeaderBytes + payload.size(); }
};

// Computes the payload's checksum, once however many peers it is sent to.
Frame MakeFrame(FrameType type, uint64_t step, uint32_t block, Buffer payload);

using FrameHeader = std::array<std::byte, kFrameHeaderBytes>;
FrameHeader SerializeHeader(const Frame& frame);

// Cuts a stream of bytes, in pieces of any size, into frames.
class FrameAssembler {
 public:
  explicit FrameAssembler(size_t payload_bytes_max)
      : payload_bytes_max_(payload_bytes_max) {}

  void set_payload_bytes_max(size_t bytes) { payload_bytes_max_ = bytes; }

  // Consumes `bytes`, calling `on_frame` for each frame that becomes complete.
  // After an error the stream is lost and every further call fails. An error of
  // `on_frame` is returned as it is.
  // Errors: DataLoss (magic, version, checksum), ResourceExhausted (payload
  // above the limit; nothing was allocated for it).
  absl::Status Append(std::span<const std::byte> bytes,
                      const std::function<absl::Status(Frame)>& on_frame);

 private:
  // Take what they need from the front of `bytes`.
  absl::Status AppendHeader(std::span<const std::byte>& bytes);
  void AppendPayload(std::span<const std::byte>& bytes);
  absl::Status Complete(const std::function<absl::Status(Frame)>& on_frame);

  size_t payload_bytes_max_;
  FrameHeader header_;
  size_t header_filled_ = 0;
  Frame frame_;
  // As the header declares it; the buffer may be shorter until bytes come.
  size_t payload_bytes_ = 0;
  size_t payload_filled_ = 0;
  absl::Status failed_;
};

}  // namespace terse

#endif  // TERSE_COMMON_FRAME_FRAME_H_
