#include "common/transport/delivery.h"

#include "absl/strings/str_cat.h"
#include "common/base/limits.h"

namespace terse {

PeerId NextPeerId() {
  static std::atomic<uint64_t> last{0};
  return PeerId{++last};
}

absl::Status PeerLostError() {
  return absl::NotFoundError("the peer is unknown, lost or closed");
}

absl::Status OutboxFullError(size_t queued_bytes, size_t frame_bytes) {
  return absl::ResourceExhaustedError(absl::StrCat(
      queued_bytes, " bytes wait to be sent to this peer; ", frame_bytes,
      " more would exceed the limit of ", kOutboxBytesMax,
      ": the peer or the wire is slower than what is sent"));
}

}  // namespace terse
