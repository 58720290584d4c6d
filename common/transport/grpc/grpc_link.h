// Links over gRPC: one bidirectional stream for each connection, raw byte
// buffers, frames cut into chunks so that no message limit is ever met.
#ifndef TERSE_COMMON_TRANSPORT_GRPC_GRPC_LINK_H_
#define TERSE_COMMON_TRANSPORT_GRPC_GRPC_LINK_H_

#include <memory>
#include <string>

#include "absl/time/time.h"
#include "common/transport/link.h"
#include "common/transport/security/security.h"

namespace terse {

struct GrpcLinkOptions {
  // "host:port" to listen on, port 0 for any; empty: only connects.
  std::string listen_address;
  // Plaintext that nobody has allowed to leave this machine is refused.
  TransportSecurity security;
  // A peer that does not answer for so long is lost. The default is long enough
  // for an answer behind 7 MB in the socket buffers of a 1 Mbit/s wire.
  absl::Duration peer_timeout = absl::Seconds(80);
  // Who connects and sends no frame for so long is sent away; strangers would
  // otherwise fill the server's connections.
  absl::Duration first_frame_timeout = absl::Seconds(30);
  // Several frames or a part of one travel in a message of about this size. Of
  // 128 KiB to 1 MiB this one moves most (tests/bench/link).
  size_t chunk_bytes = size_t{512} << 10;
};

// `sink` must outlive the link.
// Errors: Unavailable (the address cannot be bound; the message names it),
// those of CheckSecurity and CheckTlsFiles.
absl::StatusOr<std::unique_ptr<Link>> MakeGrpcLink(
    const GrpcLinkOptions& options, FrameSink& sink);

}  // namespace terse

#endif  // TERSE_COMMON_TRANSPORT_GRPC_GRPC_LINK_H_
