// Addresses as gRPC reads them: "host:port", "[::1]:port", "unix:path".
#ifndef TERSE_COMMON_TRANSPORT_GRPC_ADDRESS_H_
#define TERSE_COMMON_TRANSPORT_GRPC_ADDRESS_H_

#include <string>

#include "absl/status/status.h"

namespace terse {

bool IsUnixAddress(const std::string& address);

// `address` with `port` in place of its own; unix addresses stay.
std::string WithPort(const std::string& address, int port);

// Whether a server answers at a unix address; gRPC would replace its socket by
// a new one and leave it without visitors.
bool UnixSocketInUse(const std::string& address);

// Why `address` cannot be listened on, as far as the system tells.
absl::Status CannotListenError(const std::string& address);

}  // namespace terse

#endif  // TERSE_COMMON_TRANSPORT_GRPC_ADDRESS_H_
