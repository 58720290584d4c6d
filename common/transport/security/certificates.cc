#include "common/transport/security/certificates.h"

#include <openssl/ec.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/transport/security/openssl.h"

namespace terse {
namespace {

// The authority outlives the certificates it signs.
constexpr long kAuthoritySeconds = 3650L * 24 * 3600;

// Clocks of machines differ.
constexpr long kEarlierSeconds = 3600;

absl::Status DiskError(const std::string& path) {
  return WithExitCode(absl::UnavailableError(absl::StrCat(
                          "cannot write ", path, ": ", std::strerror(errno))),
                      ExitCode::kDisk);
}

void AddExtension(X509* certificate, X509* issuer, int name,
                  const char* value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  const std::unique_ptr<X509_EXTENSION, OpensslFree<X509_EXTENSION_free>>
      extension(X509V3_EXT_conf_nid(nullptr, &context, name, value));
  TERSE_CHECK(extension != nullptr &&
              X509_add_ext(certificate, extension.get(), -1) == 1);
}

// A certificate of `key` without extensions and signature.
CertificatePtr NewCertificate(EVP_PKEY* key, const char* name, long seconds) {
  CertificatePtr certificate(X509_new());
  X509* const x = certificate.get();
  X509_set_version(x, X509_VERSION_3);
  // 63 random bits: numbers of one authority do not repeat.
  uint64_t serial = 0;
  TERSE_CHECK(RAND_bytes(reinterpret_cast<unsigned char*>(&serial),
                         sizeof(serial)) == 1);
  ASN1_INTEGER_set_uint64(X509_get_serialNumber(x), serial >> 1);
  X509_gmtime_adj(X509_getm_notBefore(x),
                  std::min(0L, seconds) - kEarlierSeconds);
  X509_gmtime_adj(X509_getm_notAfter(x), seconds);
  X509_set_pubkey(x, key);
  X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>(name), -1,
                             -1, 0);
  return certificate;
}

// Under a temporary name first: whoever reads sees a whole file.
template <typename Write>
absl::Status WritePem(const std::string& path, mode_t mode, Write write) {
  const std::string temporary = absl::StrCat(path, ".", getpid(), ".tmp");
  std::FILE* file = std::fopen(temporary.c_str(), "wb");
  if (file == nullptr) return DiskError(temporary);
  const bool written = fchmod(fileno(file), mode) == 0 && write(file) == 1 &&
                       std::fflush(file) == 0 && fsync(fileno(file)) == 0;
  const absl::Status status = written ? absl::OkStatus() : DiskError(temporary);
  std::fclose(file);
  if (status.ok() && std::rename(temporary.c_str(), path.c_str()) != 0) {
    return DiskError(path);
  }
  if (!status.ok()) unlink(temporary.c_str());
  return status;
}

absl::Status WriteKey(const std::string& path, EVP_PKEY* key) {
  return WritePem(path, 0600, [key](std::FILE* file) {
    return PEM_write_PrivateKey(file, key, nullptr, nullptr, 0, nullptr,
                                nullptr);
  });
}

absl::Status WriteCertificate(const std::string& path, X509* certificate) {
  return WritePem(path, 0644, [certificate](std::FILE* file) {
    return PEM_write_X509(file, certificate);
  });
}

struct Authority {
  CertificatePtr certificate;
  KeyPtr key;
};

absl::StatusOr<Authority> MakeAuthority(const std::string& directory) {
  Authority authority;
  authority.key.reset(EVP_EC_gen("P-256"));
  authority.certificate =
      NewCertificate(authority.key.get(), "Terse authority", kAuthoritySeconds);
  X509* const x = authority.certificate.get();
  X509_set_issuer_name(x, X509_get_subject_name(x));
  AddExtension(x, x, NID_basic_constraints, "critical,CA:TRUE,pathlen:0");
  AddExtension(x, x, NID_key_usage, "critical,keyCertSign,cRLSign");
  AddExtension(x, x, NID_subject_key_identifier, "hash");
  X509_sign(x, authority.key.get(), EVP_sha256());
  TERSE_RETURN_IF_ERROR(WriteKey(directory + "/ca.key", authority.key.get()));
  TERSE_RETURN_IF_ERROR(WriteCertificate(directory + "/ca.crt", x));
  return authority;
}

absl::StatusOr<Authority> FindAuthority(const std::string& directory) {
  const std::string path = directory + "/ca.crt";
  if (access(path.c_str(), F_OK) != 0) return MakeAuthority(directory);
  Authority authority;
  const BioPtr file(BIO_new_file(path.c_str(), "r"));
  if (file != nullptr) authority.certificate = ReadCertificate(file.get());
  authority.key = ReadKey(directory + "/ca.key");
  if (authority.certificate != nullptr && authority.key != nullptr &&
      X509_check_private_key(authority.certificate.get(),
                             authority.key.get()) == 1) {
    return authority;
  }
  return WithExitCode(
      absl::PermissionDeniedError(absl::StrCat(
          directory,
          " has a ca.crt but no ca.key of it, so nothing can be signed: renew "
          "where ca.key lies, or take another folder")),
      ExitCode::kNotAllowed);
}

}  // namespace

absl::Status MakeCertificates(const std::string& directory,
                              absl::Duration validity) {
  std::error_code error;
  std::filesystem::create_directories(directory, error);
  TERSE_ASSIGN_OR_RETURN(const Authority authority, FindAuthority(directory));
  const KeyPtr key(EVP_EC_gen("P-256"));
  const CertificatePtr certificate = NewCertificate(
      key.get(), "terse", static_cast<long>(absl::ToInt64Seconds(validity)));
  X509* const x = certificate.get();
  X509* const issuer = authority.certificate.get();
  X509_set_issuer_name(x, X509_get_subject_name(issuer));
  AddExtension(x, issuer, NID_basic_constraints, "critical,CA:FALSE");
  AddExtension(x, issuer, NID_key_usage, "critical,digitalSignature");
  AddExtension(x, issuer, NID_ext_key_usage, "serverAuth,clientAuth");
  AddExtension(x, issuer, NID_subject_alt_name, "DNS:terse,DNS:localhost");
  AddExtension(x, issuer, NID_authority_key_identifier, "keyid");
  X509_sign(x, authority.key.get(), EVP_sha256());
  TERSE_RETURN_IF_ERROR(WriteKey(directory + "/tls.key", key.get()));
  return WriteCertificate(directory + "/tls.crt", x);
}

}  // namespace terse
