#include "common/transport/grpc/channel.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/support/channel_arguments.h>

#include <atomic>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "common/base/limits.h"

namespace terse {
namespace {

using Argument = std::pair<const char*, int>;

// A peer that has vanished without a word is asked after a quarter of the
// timeout; the rest is for the answer.
int KeepaliveTimeMs(absl::Duration peer_timeout) {
  return static_cast<int>(absl::ToInt64Milliseconds(peer_timeout / 4));
}

// What may be under way on a stream before its reader has taken it: 32 MiB are
// the product of 10 Gbit/s and 27 ms.
constexpr int kWindowBytes = 32 << 20;

// Larger than the 16 KiB of HTTP/2's default: fewer headers and system calls;
// small enough that a frame is still in the cache when it is read.
constexpr int kHttp2FrameBytes = 256 << 10;

constexpr int kWriteBufferBytes = 1 << 20;

// Reachable, so that no leak checker takes it for a leak.
std::atomic<std::shared_ptr<grpc::Channel>*> kept_channel{nullptr};

std::vector<Argument> CommonArguments(absl::Duration peer_timeout) {
  const int time_ms = KeepaliveTimeMs(peer_timeout);
  return {
      {GRPC_ARG_KEEPALIVE_TIME_MS, time_ms},
      {GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 3 * time_ms},
      {GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 0},
      {GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0},
      {GRPC_ARG_HTTP2_BDP_PROBE, 0},
      {GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, kWindowBytes},
      {GRPC_ARG_HTTP2_MAX_FRAME_SIZE, kHttp2FrameBytes},
      {GRPC_ARG_HTTP2_WRITE_BUFFER_SIZE, kWriteBufferBytes},
      {GRPC_ARG_MAX_SEND_MESSAGE_LENGTH, -1},
      {GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, int{kMessageBytesMax}},
  };
}

}  // namespace

std::shared_ptr<grpc::Channel> MakeChannel(
    const std::string& address,
    const std::shared_ptr<grpc::ChannelCredentials>& credentials,
    absl::Duration peer_timeout) {
  grpc::ChannelArguments arguments;
  for (const auto& [name, value] : CommonArguments(peer_timeout)) {
    arguments.SetInt(name, value);
  }
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  // A server that starts later is found soon.
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 1000);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 500);
  // Training hosts talk to each other, not through a web proxy.
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  std::shared_ptr<grpc::Channel> channel =
      grpc::CreateCustomChannel(address, credentials, arguments);
  // The threads that run gRPC's callbacks end with the last channel. Where one
  // of them releases it, it joins itself and the process aborts
  // (grpc/grpc#32584): one channel stays for good.
  static std::once_flag once;
  std::call_once(once, [&channel] {
    kept_channel.store(new std::shared_ptr<grpc::Channel>(channel));
  });
  return channel;
}

void ConfigureServer(absl::Duration peer_timeout,
                     grpc::ServerBuilder& builder) {
  for (const auto& [name, value] : CommonArguments(peer_timeout)) {
    builder.AddChannelArgument(name, value);
  }
  // Otherwise two servers would share a port, and each get half the workers.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.AddChannelArgument(
      GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
      KeepaliveTimeMs(peer_timeout) / 2);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PING_STRIKES, 0);
}

void QuietGrpc() {
  static std::once_flag once;
  std::call_once(once, [] { setenv("GRPC_VERBOSITY", "NONE", 0); });
}

}  // namespace terse
