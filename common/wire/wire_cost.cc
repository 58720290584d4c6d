#include "common/wire/wire_cost.h"

#include <algorithm>
#include <chrono>
#include <optional>
#include <utility>

#include "common/base/processor_time.h"
#include "common/base/status.h"
#include "common/transport/inbox.h"
#include "common/wire/messages.h"
#include "common/wire/role_link.h"

namespace terse {
namespace {

using std::chrono::steady_clock;

constexpr size_t kFrameBytes = size_t{1} << 20;
constexpr int kFramesUnderWay = 8;
constexpr int kFrames = 128;
constexpr int kRoundTrips = 50;

struct End {
  Inbox inbox{size_t{1} << 28};
  std::unique_ptr<Link> link;
  PeerId peer{};
};

// The next frame that comes to `end`, which then knows its peer.
absl::Status Receive(End& end) {
  const std::optional<Inbox::Event> event =
      end.inbox.Pop(absl::Now() + absl::Seconds(10));
  if (!event || !event->frame) {
    return absl::UnavailableError("gRPC over loopback does not work here");
  }
  end.peer = event->peer;
  end.link->Admit(event->peer, kFramePayloadBytesMax);
  return absl::OkStatus();
}

absl::Status SendFrame(End& end, const Buffer& payload) {
  return end.link->Send(end.peer, MakeFrame(wire::PROBE, 0, 0, payload));
}

}  // namespace

absl::StatusOr<WireCost> MeasureWireCost() {
  End near, far;
  TERSE_ASSIGN_OR_RETURN(
      near.link,
      MakeRoleLink("grpc", "127.0.0.1:0", {}, absl::Seconds(60), near.inbox));
  TERSE_ASSIGN_OR_RETURN(
      far.link, MakeRoleLink("grpc", "", {}, absl::Seconds(60), far.inbox));
  far.peer = far.link->Connect(near.link->Address(), absl::Seconds(10));
  const auto seconds_since = [](steady_clock::time_point begin) {
    return std::chrono::duration<double>(steady_clock::now() - begin).count();
  };
  WireCost cost;
  double least = 1;
  for (int i = 0; i < kRoundTrips; ++i) {
    const auto begin = steady_clock::now();
    TERSE_RETURN_IF_ERROR(SendFrame(far, {}));
    TERSE_RETURN_IF_ERROR(Receive(near));
    TERSE_RETURN_IF_ERROR(SendFrame(near, {}));
    TERSE_RETURN_IF_ERROR(Receive(far));
    least = std::min(least, seconds_since(begin));
  }
  cost.round_trip_ms = least * 1e3;
  const Buffer payload = Buffer::Allocate(kFrameBytes);
  const double cpu_begin = ProcessorSeconds();
  const auto begin = steady_clock::now();
  for (int i = 0; i < kFrames + kFramesUnderWay; ++i) {
    if (i < kFrames) TERSE_RETURN_IF_ERROR(SendFrame(far, payload));
    if (i >= kFramesUnderWay) TERSE_RETURN_IF_ERROR(Receive(near));
  }
  constexpr double kBytes = double{kFrames} * kFrameBytes;
  cost.gbit = kBytes * 8e-9 / seconds_since(begin);
  cost.ns_per_byte = (ProcessorSeconds() - cpu_begin) * 1e9 / kBytes / 2;
  return cost;
}

}  // namespace terse
