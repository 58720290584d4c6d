#include "common/transport/grpc/message.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "common/base/status.h"

namespace terse {
namespace {

// Copying so few bytes beside their header costs less than a slice of their
// own does.
constexpr size_t kCopiedBytesMax = 2048;

class SliceWriter {
 public:
  void Copy(std::span<const std::byte> bytes) {
    copied_.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  }

  void Reference(const Buffer& buffer, size_t offset, size_t bytes) {
    if (bytes <= kCopiedBytesMax) {
      Copy(buffer.bytes().subspan(offset, bytes));
      return;
    }
    FlushCopied();
    // gRPC only reads what it sends.
    void* data = const_cast<std::byte*>(buffer.bytes().data() + offset);
    slices_.emplace_back(
        data, bytes, [](void* held) { delete static_cast<Buffer*>(held); },
        new Buffer(buffer));
  }

  grpc::ByteBuffer Finish() {
    FlushCopied();
    return grpc::ByteBuffer(slices_.data(), slices_.size());
  }

 private:
  void FlushCopied() {
    if (copied_.empty()) return;
    slices_.emplace_back(copied_.data(), copied_.size());
    copied_.clear();
  }

  std::string copied_;
  std::vector<grpc::Slice> slices_;
};

}  // namespace

void Outbox::Push(Frame frame) {
  bytes_ += frame.WireBytes();
  frames_.Push(std::move(frame));
}

void Outbox::Clear() {
  frames_.Clear();
  first_frame_taken_ = 0;
  bytes_ = 0;
}

Outbox::Taken Outbox::Take(size_t bytes_max) {
  TERSE_CHECK(!frames_.empty() && bytes_max > 0);
  Taken taken;
  SliceWriter writer;
  while (!frames_.empty() && taken.bytes < bytes_max) {
    const Frame& frame = frames_.Front();
    size_t left = bytes_max - taken.bytes;
    size_t at = first_frame_taken_;
    if (at < kFrameHeaderBytes) {
      const FrameHeader header = SerializeHeader(frame);
      const auto part =
          std::span(header).subspan(at, std::min(left, kFrameHeaderBytes - at));
      writer.Copy(part);
      at += part.size();
      left -= part.size();
    }
    if (at >= kFrameHeaderBytes) {
      const size_t offset = at - kFrameHeaderBytes;
      const size_t bytes = std::min(left, frame.payload.size() - offset);
      if (bytes > 0) writer.Reference(frame.payload, offset, bytes);
      at += bytes;
    }
    taken.bytes += at - first_frame_taken_;
    first_frame_taken_ = at;
    if (at == frame.WireBytes()) {
      taken.frames += 1;
      first_frame_taken_ = 0;
      frames_.PopFront();
    }
  }
  bytes_ -= taken.bytes;
  taken.message = writer.Finish();
  return taken;
}

grpc::ByteBuffer EndMarker() {
  const grpc::Slice nothing;
  return grpc::ByteBuffer(&nothing, 1);
}

}  // namespace terse
