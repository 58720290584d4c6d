#include "common/transport/grpc/credentials.h"

#include <grpcpp/security/tls_certificate_provider.h>
#include <grpcpp/security/tls_certificate_verifier.h>
#include <grpcpp/security/tls_credentials_options.h>

namespace terse {
namespace {

namespace tls = grpc::experimental;

// How often the files are looked at: three small ones.
constexpr unsigned kReloadSeconds = 1;

}  // namespace

GrpcCredentials MakeGrpcCredentials(const std::string& tls_directory) {
  if (tls_directory.empty()) {
    return {.channel = grpc::InsecureChannelCredentials(),
            .server = grpc::InsecureServerCredentials()};
  }
  const auto provider = std::make_shared<tls::FileWatcherCertificateProvider>(
      tls_directory + "/tls.key", tls_directory + "/tls.crt",
      tls_directory + "/ca.crt", kReloadSeconds);
  // The chain is verified by the handshake; what this replaces is the check of
  // the name.
  const auto any_name = std::make_shared<tls::NoOpCertificateVerifier>();
  tls::TlsChannelCredentialsOptions channel;
  channel.set_certificate_provider(provider);
  channel.watch_root_certs();
  channel.watch_identity_key_cert_pairs();
  channel.set_verify_server_certs(true);
  channel.set_check_call_host(false);
  channel.set_certificate_verifier(any_name);
  tls::TlsServerCredentialsOptions server(provider);
  server.watch_root_certs();
  server.watch_identity_key_cert_pairs();
  server.set_cert_request_type(
      GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  server.set_certificate_verifier(any_name);
  return {.channel = tls::TlsCredentials(channel),
          .server = tls::TlsServerCredentials(server)};
}

}  // namespace terse
