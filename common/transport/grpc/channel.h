// How gRPC is set up on both sides: for bulk, for peers that vanish, and
// without limits a user could meet.
#ifndef TERSE_COMMON_TRANSPORT_GRPC_CHANNEL_H_
#define TERSE_COMMON_TRANSPORT_GRPC_CHANNEL_H_

#include <grpcpp/channel.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/server_builder.h>

#include <memory>
#include <string>

#include "absl/time/time.h"

namespace terse {

// A message holds chunk_bytes; more than this is no message of ours. It is what
// a stranger can make gRPC gather before the first byte is looked at.
inline constexpr size_t kMessageBytesMax = size_t{4} << 20;

// A connection of its own, however many channels have the same address.
std::shared_ptr<grpc::Channel> MakeChannel(
    const std::string& address,
    const std::shared_ptr<grpc::ChannelCredentials>& credentials,
    absl::Duration peer_timeout);

void ConfigureServer(absl::Duration peer_timeout, grpc::ServerBuilder& builder);

// Keeps gRPC's own lines off stderr, unless GRPC_VERBOSITY asks for them: what
// they say, statuses say better. To be called before gRPC is used.
void QuietGrpc();

}  // namespace terse

#endif  // TERSE_COMMON_TRANSPORT_GRPC_CHANNEL_H_
