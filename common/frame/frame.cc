#include "common/frame/frame.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/base/crc32c.h"
#include "common/base/status.h"

namespace terse {
namespace {

// "TF" in a dump of the stream.
constexpr uint16_t kMagic = 0x4654;

// Offsets of the header's fields; see FORMAT.md.
constexpr size_t kMagicAt = 0;
constexpr size_t kVersionAt = 2;
constexpr size_t kTypeAt = 3;
constexpr size_t kPayloadBytesAt = 4;
constexpr size_t kStepAt = 8;
constexpr size_t kBlockAt = 16;
constexpr size_t kChecksumAt = 20;

// A declared length is believed up to here; memory for a longer payload grows
// with the bytes that came, so that a header alone costs its sender as much as
// us.
constexpr size_t kTrustedPayloadBytes = kBlockPayloadBytesMax;

// Copied and checksummed piece by piece, so that the second pass over a piece
// finds it in the level-1 cache.
constexpr size_t kCopyBytes = 16 << 10;

template <typename T>
void Store(FrameHeader& header, size_t at, T value) {
  for (size_t i = 0; i < sizeof(T); ++i) {
    header[at + i] = static_cast<std::byte>(value >> (8 * i));
  }
}

template <typename T>
T Load(const FrameHeader& header, size_t at) {
  T value = 0;
  for (size_t i = 0; i < sizeof(T); ++i) {
    value |= static_cast<T>(static_cast<T>(header[at + i]) << (8 * i));
  }
  return value;
}

uint32_t Checksum(uint32_t payload_crc32c, const FrameHeader& header) {
  return ExtendCrc32c(payload_crc32c, std::span(header).first(kChecksumAt));
}

absl::Status CheckHeader(const FrameHeader& header, size_t payload_bytes_max) {
  if (const auto magic = Load<uint16_t>(header, kMagicAt); magic != kMagic) {
    return absl::DataLossError(absl::StrFormat(
        "a frame begins with 0x%04x instead of 0x%04x: the stream is damaged, "
        "or its sender is no Terse program",
        magic, kMagic));
  }
  if (const auto version = Load<uint8_t>(header, kVersionAt);
      version != kFrameVersion) {
    return absl::DataLossError(absl::StrFormat(
        "a frame has version %d, this program reads %d: run the same release "
        "of Terse everywhere",
        version, kFrameVersion));
  }
  if (const auto bytes = Load<uint32_t>(header, kPayloadBytesAt);
      bytes > payload_bytes_max) {
    return absl::ResourceExhaustedError(
        absl::StrCat("a frame of type ", Load<uint8_t>(header, kTypeAt),
                     " announces ", bytes, " bytes of payload, ",
                     payload_bytes_max, " are allowed of this peer"));
  }
  return absl::OkStatus();
}

// Makes room in `payload`, which holds `filled` bytes, for `incoming` more.
void Grow(Buffer& payload, size_t filled, size_t incoming, size_t declared) {
  if (filled + incoming <= payload.size()) return;
  const size_t bytes =
      std::min(declared, std::max(filled + incoming, 2 * payload.size()));
  Buffer grown = Buffer::Allocate(bytes);
  if (filled > 0) {
    std::memcpy(grown.mutable_bytes().data(), payload.bytes().data(), filled);
  }
  payload = std::move(grown);
}

}  // namespace

Frame MakeFrame(FrameType type, uint64_t step, uint32_t block, Buffer payload) {
  TERSE_CHECK(payload.size() <= kFramePayloadBytesMax);
  const uint32_t crc = Crc32c(payload.bytes());
  return Frame{.type = type,
               .step = step,
               .block = block,
               .payload = std::move(payload),
               .payload_crc32c = crc};
}

FrameHeader SerializeHeader(const Frame& frame) {
  FrameHeader header;
  Store<uint16_t>(header, kMagicAt, kMagic);
  Store<uint8_t>(header, kVersionAt, kFrameVersion);
  Store<uint8_t>(header, kTypeAt, frame.type);
  Store<uint32_t>(header, kPayloadBytesAt,
                  static_cast<uint32_t>(frame.payload.size()));
  Store<uint64_t>(header, kStepAt, frame.step);
  Store<uint32_t>(header, kBlockAt, frame.block);
  Store<uint32_t>(header, kChecksumAt, Checksum(frame.payload_crc32c, header));
  return header;
}

absl::Status FrameAssembler::Append(
    std::span<const std::byte> bytes,
    const std::function<absl::Status(Frame)>& on_frame) {
  while (failed_.ok() && !bytes.empty()) {
    if (header_filled_ < kFrameHeaderBytes) {
      failed_ = AppendHeader(bytes);
      if (header_filled_ < kFrameHeaderBytes) break;
    }
    if (failed_.ok()) AppendPayload(bytes);
    if (failed_.ok() && payload_filled_ == payload_bytes_) {
      failed_ = Complete(on_frame);
    }
  }
  return failed_;
}

absl::Status FrameAssembler::AppendHeader(std::span<const std::byte>& bytes) {
  const size_t taken =
      std::min(bytes.size(), kFrameHeaderBytes - header_filled_);
  std::memcpy(header_.data() + header_filled_, bytes.data(), taken);
  header_filled_ += taken;
  bytes = bytes.subspan(taken);
  if (header_filled_ < kFrameHeaderBytes) return absl::OkStatus();
  TERSE_RETURN_IF_ERROR(CheckHeader(header_, payload_bytes_max_));
  payload_bytes_ = Load<uint32_t>(header_, kPayloadBytesAt);
  frame_ = Frame{.type = Load<uint8_t>(header_, kTypeAt),
                 .step = Load<uint64_t>(header_, kStepAt),
                 .block = Load<uint32_t>(header_, kBlockAt)};
  frame_.payload =
      Buffer::Allocate(std::min(payload_bytes_, kTrustedPayloadBytes));
  payload_filled_ = 0;
  return absl::OkStatus();
}

void FrameAssembler::AppendPayload(std::span<const std::byte>& bytes) {
  size_t left = std::min(bytes.size(), payload_bytes_ - payload_filled_);
  Grow(frame_.payload, payload_filled_, left, payload_bytes_);
  while (left > 0) {
    const auto piece = bytes.first(std::min(left, kCopyBytes));
    std::byte* target = frame_.payload.mutable_bytes().data() + payload_filled_;
    std::memcpy(target, piece.data(), piece.size());
    frame_.payload_crc32c = ExtendCrc32c(frame_.payload_crc32c, piece);
    payload_filled_ += piece.size();
    bytes = bytes.subspan(piece.size());
    left -= piece.size();
  }
}

absl::Status FrameAssembler::Complete(
    const std::function<absl::Status(Frame)>& on_frame) {
  const auto declared = Load<uint32_t>(header_, kChecksumAt);
  const uint32_t computed = Checksum(frame_.payload_crc32c, header_);
  if (declared != computed) {
    return absl::DataLossError(absl::StrFormat(
        "a frame of type %d (step %d, block %d) has checksum 0x%08x instead of "
        "0x%08x: it was damaged on the way",
        frame_.type, frame_.step, frame_.block, computed, declared));
  }
  header_filled_ = 0;
  return on_frame(std::exchange(frame_, Frame()));
}

}  // namespace terse
