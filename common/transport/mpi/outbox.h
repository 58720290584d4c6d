// Frames that wait to be sent to one peer, cut into messages.
#ifndef TERSE_COMMON_TRANSPORT_MPI_OUTBOX_H_
#define TERSE_COMMON_TRANSPORT_MPI_OUTBOX_H_

#include <cstddef>
#include <span>
#include <vector>

#include "common/frame/frame.h"
#include "common/transport/frame_queue.h"

namespace terse {

class MpiOutbox {
 public:
  bool empty() const { return frames_.empty(); }
  // Of what has not been taken.
  size_t bytes() const { return bytes_; }

  void Push(Frame frame);
  void Clear();

  struct Taken {
    // Long payloads are referenced, not copied: a part of `payload`.
    Buffer payload;
    std::span<const std::byte> data;
    size_t bytes = 0;   // Copied and referenced.
    size_t frames = 0;  // Whose last byte was taken.
  };
  // Takes from the front: appends whole small frames and headers to `copied`,
  // until it has grown by about kInlineBytesMax or a part of a long payload, of
  // at most `data_bytes_max`, is referenced. Requires: not empty.
  Taken Take(size_t data_bytes_max, std::vector<std::byte>& copied);

 private:
  FrameQueue frames_;
  size_t first_frame_taken_ = 0;
  size_t bytes_ = 0;
};

}  // namespace terse

#endif  // TERSE_COMMON_TRANSPORT_MPI_OUTBOX_H_
