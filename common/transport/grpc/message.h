// The messages of a stream: bytes of consecutive frames, cut anywhere. An empty
// message is the end marker: its sender has sent everything and closes.
#ifndef TERSE_COMMON_TRANSPORT_GRPC_MESSAGE_H_
#define TERSE_COMMON_TRANSPORT_GRPC_MESSAGE_H_

#include <grpcpp/support/byte_buffer.h>

#include <cstddef>

#include "common/frame/frame.h"
#include "common/transport/frame_queue.h"

namespace terse {

// Frames that wait to be sent, and how much of the first has been.
class Outbox {
 public:
  bool empty() const { return frames_.empty(); }
  // Of what has not been taken.
  size_t bytes() const { return bytes_; }

  void Push(Frame frame);
  void Clear();

  struct Taken {
    grpc::ByteBuffer message;
    size_t bytes = 0;
    // Frames whose last byte is in the message.
    size_t frames = 0;
  };
  // Takes about `bytes_max` from the front; not less than one byte. Long
  // payloads are referenced, not copied. Requires: not empty.
  Taken Take(size_t bytes_max);

 private:
  FrameQueue frames_;
  size_t first_frame_taken_ = 0;
  size_t bytes_ = 0;
};

grpc::ByteBuffer EndMarker();

}  // namespace terse

#endif  // TERSE_COMMON_TRANSPORT_GRPC_MESSAGE_H_
