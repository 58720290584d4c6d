// CRC-32C (Castagnoli, reflected polynomial 0x82f63b78), as iSCSI and RFC 3720
// define it: the checksum of frames.
#ifndef TERSE_COMMON_BASE_CRC32C_H_
#define TERSE_COMMON_BASE_CRC32C_H_

#include <cstddef>
#include <cstdint>
#include <span>

namespace terse {

// The checksum of A followed by `bytes`, given `crc` = the checksum of A; that
// of nothing is 0.
uint32_t ExtendCrc32c(uint32_t crc, std::span<const std::byte> bytes);

inline uint32_t Crc32c(std::span<const std::byte> bytes) {
  return ExtendCrc32c(0, bytes);
}

// The definition, a table and a loop; ExtendCrc32c equals it.
uint32_t ExtendCrc32cReference(uint32_t crc, std::span<const std::byte> bytes);

}  // namespace terse

#endif  // TERSE_COMMON_BASE_CRC32C_H_
