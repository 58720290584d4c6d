#include "common/base/sha256.h"

#include <openssl/evp.h>

#include "common/base/status.h"

namespace terse {

struct Sha256::State {
  State() : context(EVP_MD_CTX_new()) {
    TERSE_CHECK(context != nullptr);
    Start();
  }
  ~State() { EVP_MD_CTX_free(context); }

  void Start() {
    TERSE_CHECK(EVP_DigestInit_ex(context, EVP_sha256(), nullptr) == 1);
  }

  EVP_MD_CTX* context;
};

Sha256::Sha256() : state_(std::make_unique<State>()) {}
Sha256::~Sha256() = default;
Sha256::Sha256(Sha256&&) noexcept = default;
Sha256& Sha256::operator=(Sha256&&) noexcept = default;

void Sha256::Update(std::span<const std::byte> bytes) {
  TERSE_CHECK(EVP_DigestUpdate(state_->context, bytes.data(), bytes.size()) ==
              1);
}

void Sha256::Update(std::string_view text) {
  Update(std::as_bytes(std::span(text.data(), text.size())));
}

Sha256Digest Sha256::Finish() {
  Sha256Digest digest;
  unsigned int digest_bytes = 0;
  TERSE_CHECK(
      EVP_DigestFinal_ex(state_->context,
                         reinterpret_cast<unsigned char*>(digest.data()),
                         &digest_bytes) == 1);
  TERSE_CHECK(digest_bytes == digest.size());
  state_->Start();
  return digest;
}

Sha256Digest Sha256Of(std::span<const std::byte> bytes) {
  Sha256 hash;
  hash.Update(bytes);
  return hash.Finish();
}

Sha256Digest Sha256Of(std::string_view text) {
  Sha256 hash;
  hash.Update(text);
  return hash.Finish();
}

std::string Hex(std::span<const std::byte> bytes) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  text.reserve(2 * bytes.size());
  for (const std::byte byte : bytes) {
    text += kDigits[static_cast<int>(byte) >> 4];
    text += kDigits[static_cast<int>(byte) & 15];
  }
  return text;
}

}  // namespace terse
