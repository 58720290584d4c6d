// Owners of what OpenSSL allocates, and files in PEM.
#ifndef TERSE_COMMON_TRANSPORT_SECURITY_OPENSSL_H_
#define TERSE_COMMON_TRANSPORT_SECURITY_OPENSSL_H_

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <memory>
#include <string>

namespace terse {

template <auto kFree>
struct OpensslFree {
  template <typename T>
  void operator()(T* object) const {
    kFree(object);
  }
};

using CertificatePtr = std::unique_ptr<X509, OpensslFree<X509_free>>;
using KeyPtr = std::unique_ptr<EVP_PKEY, OpensslFree<EVP_PKEY_free>>;
using BioPtr = std::unique_ptr<BIO, OpensslFree<BIO_free_all>>;

// The next certificate of `file`; null: none is left, or it is damaged.
inline CertificatePtr ReadCertificate(BIO* file) {
  return CertificatePtr(PEM_read_bio_X509(file, nullptr, nullptr, nullptr));
}

// The key in the file `path`, unencrypted; null: there is none.
inline KeyPtr ReadKey(const std::string& path) {
  const BioPtr file(BIO_new_file(path.c_str(), "r"));
  if (file == nullptr) return nullptr;
  // An empty password: nobody is asked for one.
  return KeyPtr(PEM_read_bio_PrivateKey(file.get(), nullptr, nullptr,
                                        const_cast<char*>("")));
}

}  // namespace terse

#endif  // TERSE_COMMON_TRANSPORT_SECURITY_OPENSSL_H_
