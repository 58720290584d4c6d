// How gRPC connections prove who they are.
#ifndef TERSE_COMMON_TRANSPORT_GRPC_CREDENTIALS_H_
#define TERSE_COMMON_TRANSPORT_GRPC_CREDENTIALS_H_

#include <grpcpp/security/credentials.h>
#include <grpcpp/security/server_credentials.h>

#include <memory>
#include <string>

namespace terse {

struct GrpcCredentials {
  std::shared_ptr<grpc::ChannelCredentials> channel;
  std::shared_ptr<grpc::ServerCredentials> server;
};

// Mutual TLS with the ca.crt, tls.crt and tls.key of a folder, read again when
// they change; without a folder plaintext. Either side takes any certificate
// that ca.crt has signed, whatever name is in it: who has one belongs to the
// job, and machines need no certificate each.
GrpcCredentials MakeGrpcCredentials(const std::string& tls_directory);

}  // namespace terse

#endif  // TERSE_COMMON_TRANSPORT_GRPC_CREDENTIALS_H_
