// The two ends of a gRPC call that carries one connection.
#ifndef TERSE_COMMON_TRANSPORT_GRPC_STREAMS_H_
#define TERSE_COMMON_TRANSPORT_GRPC_STREAMS_H_

#include <grpcpp/channel.h>
#include <grpcpp/generic/async_generic_service.h>

#include <memory>

#include "absl/time/time.h"
#include "common/transport/grpc/connection.h"

namespace terse {

// The only method, bidirectional streaming of raw bytes; see
// common/frame/FORMAT.md.
inline constexpr char kLinkMethod[] = "/terse.wire.Link/Connect";

// Calls kLinkMethod on `channel` for `connection`, again and again until the
// other side answers or `timeout` has passed.
void StartClientStream(std::shared_ptr<GrpcConnection> connection,
                       std::shared_ptr<grpc::Channel> channel,
                       absl::Duration timeout);

// Serves `connection` on the call of `context`, which ends if no frame comes
// for so long. gRPC owns the result.
grpc::ServerGenericBidiReactor* StartServerStream(
    std::shared_ptr<GrpcConnection> connection,
    grpc::GenericCallbackServerContext* context,
    absl::Duration first_frame_timeout);

// Refuses a call.
grpc::ServerGenericBidiReactor* RefuseCall(const grpc::Status& status);

}  // namespace terse

#endif  // TERSE_COMMON_TRANSPORT_GRPC_STREAMS_H_
