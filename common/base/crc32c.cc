#include "common/base/crc32c.h"

#include <isa-l/crc.h>

#include <algorithm>
#include <array>

namespace terse {
namespace {

constexpr std::array<uint32_t, 256> MakeTable() {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < table.size(); ++i) {
    uint32_t crc = i;
    for (int bit = 0; bit < 8; ++bit) {
      crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0x82f63b78u : 0u);
    }
    table[i] = crc;
  }
  return table;
}

constexpr std::array<uint32_t, 256> kTable = MakeTable();

// ISA-L takes its length as an int.
constexpr size_t kPieceBytesMax = size_t{1} << 30;

}  // namespace

uint32_t ExtendCrc32c(uint32_t crc, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const auto piece = bytes.first(std::min(bytes.size(), kPieceBytesMax));
    // ISA-L neither inverts at the start nor at the end, and does not write
    // through its pointer.
    crc =
        ~crc32_iscsi(const_cast<unsigned char*>(
                         reinterpret_cast<const unsigned char*>(piece.data())),
                     static_cast<int>(piece.size()), ~crc);
    bytes = bytes.subspan(piece.size());
  }
  return crc;
}

uint32_t ExtendCrc32cReference(uint32_t crc, std::span<const std::byte> bytes) {
  crc = ~crc;
  for (const std::byte byte : bytes) {
    crc = (crc >> 8) ^ kTable[(crc ^ static_cast<uint32_t>(byte)) & 0xff];
  }
  return ~crc;
}

}  // namespace terse
