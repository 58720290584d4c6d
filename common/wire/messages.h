// Control messages as frames.
#ifndef TERSE_COMMON_WIRE_MESSAGES_H_
#define TERSE_COMMON_WIRE_MESSAGES_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/base/string_view.h"
#include "common/frame/frame.h"
#include "proto/wire.pb.h"

namespace terse {

template <typename Message>
Frame MakeMessage(wire::FrameKind kind, const Message& message,
                  uint64_t step = 0) {
  Buffer payload = Buffer::Allocate(message.ByteSizeLong());
  message.SerializeToArray(payload.mutable_bytes().data(),
                           static_cast<int>(payload.size()));
  return MakeFrame(static_cast<FrameType>(kind), step, 0, std::move(payload));
}

// Errors: DataLoss.
template <typename Message>
absl::StatusOr<Message> ParseMessage(const Frame& frame) {
  Message message;
  const Buffer& payload = frame.payload;
  if (!message.ParseFromArray(payload.bytes().data(),
                              static_cast<int>(payload.size()))) {
    return absl::DataLossError(absl::StrCat(
        "a frame of type ", frame.type, " holds no ", message.GetTypeName()));
  }
  return message;
}

// A status on its way to a peer, and back.
inline Frame MakeAbort(const absl::Status& status) {
  wire::Abort message;
  message.set_exit_code(static_cast<int>(ExitCodeOf(status)));
  message.set_reason(std::string(status.message()));
  return MakeMessage(wire::ABORT, message);
}

// Never OK: what is no exit code of a failure counts as kFailure, and the
// reason is one line.
inline absl::Status StatusOfAbort(const Frame& frame) {
  const auto message = ParseMessage<wire::Abort>(frame);
  if (!message.ok()) return message.status();
  const int code = message->exit_code();
  std::string reason = message->reason();
  for (char& letter : reason) {
    if (absl::ascii_iscntrl(static_cast<unsigned char>(letter))) letter = '?';
  }
  return WithExitCode(absl::AbortedError(reason), code > 0 && code < 256
                                                      ? ExitCode{code}
                                                      : ExitCode::kFailure);
}

// To everybody: the job goes on at once, as another one; join again.
inline Frame MakeRejoin() {
  wire::Abort message;
  message.set_rejoin(true);
  return MakeMessage(wire::ABORT, message);
}

inline bool IsRejoin(const Frame& frame) {
  if (frame.type != wire::ABORT) return false;
  const auto message = ParseMessage<wire::Abort>(frame);
  return message.ok() && message->rejoin();
}

}  // namespace terse

#endif  // TERSE_COMMON_WIRE_MESSAGES_H_
