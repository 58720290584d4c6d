#include "common/transport/mpi/outbox.h"

#include <algorithm>
#include <utility>

#include "common/base/status.h"
#include "common/transport/mpi/envelope.h"

namespace terse {
namespace {

// Copying so few bytes costs less than a message of their own does.
constexpr size_t kCopiedBytesMax = size_t{16} << 10;

}  // namespace

void MpiOutbox::Push(Frame frame) {
  bytes_ += frame.WireBytes();
  frames_.Push(std::move(frame));
}

void MpiOutbox::Clear() {
  frames_.Clear();
  first_frame_taken_ = 0;
  bytes_ = 0;
}

MpiOutbox::Taken MpiOutbox::Take(size_t data_bytes_max,
                                 std::vector<std::byte>& copied) {
  TERSE_CHECK(!frames_.empty() && data_bytes_max > 0);
  Taken taken;
  const size_t copied_max =
      copied.size() + kInlineBytesMax - kFrameHeaderBytes - kCopiedBytesMax;
  while (!frames_.empty() && taken.data.empty() &&
         copied.size() <= copied_max) {
    const Frame& frame = frames_.Front();
    const size_t start = first_frame_taken_;
    if (start == 0) {
      const FrameHeader header = SerializeHeader(frame);
      copied.insert(copied.end(), header.begin(), header.end());
      first_frame_taken_ = kFrameHeaderBytes;
    }
    const auto rest =
        frame.payload.bytes().subspan(first_frame_taken_ - kFrameHeaderBytes);
    if (rest.size() <= kCopiedBytesMax) {
      copied.insert(copied.end(), rest.begin(), rest.end());
      first_frame_taken_ += rest.size();
    } else {
      taken.payload = frame.payload;
      taken.data = rest.first(std::min(rest.size(), data_bytes_max));
      first_frame_taken_ += taken.data.size();
    }
    taken.bytes += first_frame_taken_ - start;
    if (first_frame_taken_ == frame.WireBytes()) {
      taken.frames += 1;
      first_frame_taken_ = 0;
      frames_.PopFront();
    }
  }
  bytes_ -= taken.bytes;
  return taken;
}

}  // namespace terse
