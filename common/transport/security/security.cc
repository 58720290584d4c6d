#include "common/transport/security/security.h"

#include <arpa/inet.h>
#include <openssl/x509_vfy.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/transport/security/openssl.h"

namespace terse {
namespace {

using StorePtr = std::unique_ptr<X509_STORE, OpensslFree<X509_STORE_free>>;
using ContextPtr =
    std::unique_ptr<X509_STORE_CTX, OpensslFree<X509_STORE_CTX_free>>;

struct FreeStack {
  void operator()(STACK_OF(X509) * stack) const { sk_X509_free(stack); }
};

absl::Status BadFile(const std::string& path, const std::string& what) {
  return WithExitCode(
      absl::PermissionDeniedError(absl::StrCat("--tls: ", path, ": ", what)),
      ExitCode::kNotAllowed);
}

absl::Status CheckReadable(const std::string& directory) {
  for (const char* name : {"/ca.crt", "/tls.crt", "/tls.key"}) {
    const std::string path = directory + name;
    if (access(path.c_str(), R_OK) == 0) continue;
    return WithExitCode(
        absl::NotFoundError(absl::StrCat(
            "--tls: ", path, ": ", std::strerror(errno),
            "; the folder holds ca.crt, tls.crt and tls.key, as `terse tls ",
            directory, "` makes them")),
        ExitCode::kInputMissing);
  }
  return absl::OkStatus();
}

std::vector<CertificatePtr> ReadCertificates(const std::string& path) {
  std::vector<CertificatePtr> certificates;
  const BioPtr file(BIO_new_file(path.c_str(), "r"));
  if (file == nullptr) return certificates;
  while (CertificatePtr certificate = ReadCertificate(file.get())) {
    certificates.push_back(std::move(certificate));
  }
  return certificates;
}

}  // namespace

void AddSecurityOptions(CLI::App& app, TransportSecurity& security) {
  app.add_option("--tls", security.tls_directory,
                 "Mutual TLS with ca.crt, tls.crt and tls.key of this folder, "
                 "read again when they change")
      ->type_name("DIR")
      ->envname("TERSE_TLS");
  app.add_flag("--insecure", security.insecure,
               "Without --tls: lets plaintext leave this machine")
      ->envname("TERSE_INSECURE");
}

std::vector<std::string> SecurityFlags(const TransportSecurity& security) {
  std::vector<std::string> flags;
  if (!security.tls_directory.empty()) {
    flags = {"--tls", security.tls_directory};
  }
  if (security.insecure) flags.push_back("--insecure");
  return flags;
}

bool IsLoopback(const std::string& address) {
  if (address.starts_with("unix:")) return true;
  std::string host = address.substr(0, address.rfind(':'));
  if (host.starts_with('[') && host.ends_with(']')) {
    host = host.substr(1, host.size() - 2);
  }
  if (host == "localhost") return true;
  in_addr v4;
  if (inet_pton(AF_INET, host.c_str(), &v4) == 1) {
    return ntohl(v4.s_addr) >> 24 == 127;
  }
  in6_addr v6;
  return inet_pton(AF_INET6, host.c_str(), &v6) == 1 &&
         IN6_IS_ADDR_LOOPBACK(&v6);
}

absl::Status CheckSecurity(const TransportSecurity& security,
                           const std::string& address) {
  if (!security.tls_directory.empty() || security.insecure ||
      IsLoopback(address)) {
    return absl::OkStatus();
  }
  return WithExitCode(
      absl::PermissionDeniedError(absl::StrCat(
          address,
          " is not of this machine alone and would be plaintext: give --tls "
          "DIR with certificates (`terse tls DIR` makes them), or --insecure "
          "on a network you trust")),
      ExitCode::kNotAllowed);
}

absl::Status CheckTlsFiles(const std::string& directory) {
  if (directory.empty()) return absl::OkStatus();
  TERSE_RETURN_IF_ERROR(CheckReadable(directory));
  const std::string own_path = directory + "/tls.crt";
  const std::vector<CertificatePtr> authorities =
      ReadCertificates(directory + "/ca.crt");
  if (authorities.empty()) {
    return BadFile(directory + "/ca.crt", "no certificate in PEM");
  }
  const std::vector<CertificatePtr> own = ReadCertificates(own_path);
  if (own.empty()) return BadFile(own_path, "no certificate in PEM");
  const KeyPtr key = ReadKey(directory + "/tls.key");
  if (key == nullptr) {
    return BadFile(directory + "/tls.key", "no unencrypted key in PEM");
  }
  if (X509_check_private_key(own[0].get(), key.get()) != 1) {
    return BadFile(own_path, "not the certificate of tls.key beside it");
  }
  const StorePtr store(X509_STORE_new());
  for (const auto& authority : authorities) {
    X509_STORE_add_cert(store.get(), authority.get());
  }
  const std::unique_ptr<STACK_OF(X509), FreeStack> between(sk_X509_new_null());
  for (size_t i = 1; i < own.size(); ++i) {
    sk_X509_push(between.get(), own[i].get());
  }
  const ContextPtr context(X509_STORE_CTX_new());
  X509_STORE_CTX_init(context.get(), store.get(), own[0].get(), between.get());
  if (X509_verify_cert(context.get()) == 1) return absl::OkStatus();
  return BadFile(own_path,
                 absl::StrCat(X509_verify_cert_error_string(
                                  X509_STORE_CTX_get_error(context.get())),
                              "; it must be one that ca.crt has "
                              "signed and still hold"));
}

}  // namespace terse
