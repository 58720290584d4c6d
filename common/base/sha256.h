// SHA-256 (FIPS 180-4) of bytes that come in pieces.
#ifndef TERSE_COMMON_BASE_SHA256_H_
#define TERSE_COMMON_BASE_SHA256_H_

#include <array>
#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace terse {

using Sha256Digest = std::array<std::byte, 32>;

class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(Sha256&&) noexcept;
  Sha256& operator=(Sha256&&) noexcept;

  void Update(std::span<const std::byte> bytes);
  void Update(std::string_view text);

  // The digest of everything so far; then starts anew.
  Sha256Digest Finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

Sha256Digest Sha256Of(std::span<const std::byte> bytes);
Sha256Digest Sha256Of(std::string_view text);

// Lower-case hexadecimal, two digits a byte.
std::string Hex(std::span<const std::byte> bytes);

}  // namespace terse

#endif  // TERSE_COMMON_BASE_SHA256_H_
