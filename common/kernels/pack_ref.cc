#include <cstring>

#include "common/kernels/pack.h"

namespace terse::reference {
namespace {

template <typename Word>
Word ReadWord(const uint8_t* packed, size_t index) {
  Word word;
  std::memcpy(&word, packed + index * sizeof(Word), sizeof(Word));
  return word;
}

template <typename Word>
void WriteWord(Word word, uint8_t* packed, size_t index) {
  std::memcpy(packed + index * sizeof(Word), &word, sizeof(Word));
}

template <typename Code>
inline constexpr uint32_t kWordBits = 8 * sizeof(Code);
template <typename Code>
inline constexpr size_t kColumns = kPackGroup / kWordBits<Code>;

}  // namespace

template <typename Code>
void PackGroup(const Code* codes, uint32_t bits, uint8_t* packed) {
  constexpr size_t columns = kColumns<Code>;
  for (size_t column = 0; column < columns; ++column) {
    uint32_t pending = 0;
    uint32_t pending_bits = 0;
    size_t word = 0;
    for (size_t row = 0; row < kWordBits<Code>; ++row) {
      pending |= uint32_t{codes[row * columns + column]} << pending_bits;
      pending_bits += bits;
      if (pending_bits >= kWordBits<Code>) {
        WriteWord(static_cast<Code>(pending), packed, word * columns + column);
        pending >>= kWordBits<Code>;
        pending_bits -= kWordBits<Code>;
        ++word;
      }
    }
  }
}

template <typename Code>
void UnpackGroup(const uint8_t* packed, uint32_t bits, Code* codes) {
  constexpr size_t columns = kColumns<Code>;
  const uint32_t mask = (1u << bits) - 1;
  for (size_t column = 0; column < columns; ++column) {
    uint32_t pending = 0;
    uint32_t pending_bits = 0;
    size_t word = 0;
    for (size_t row = 0; row < kWordBits<Code>; ++row) {
      if (pending_bits < bits) {
        pending |= uint32_t{ReadWord<Code>(packed, word * columns + column)}
                   << pending_bits;
        pending_bits += kWordBits<Code>;
        ++word;
      }
      codes[row * columns + column] = static_cast<Code>(pending & mask);
      pending >>= bits;
      pending_bits -= bits;
    }
  }
}

template <typename Code>
void PackRest(const Code* codes, size_t count, uint32_t bits, uint8_t* packed) {
  uint32_t pending = 0;
  uint32_t pending_bits = 0;
  for (size_t i = 0; i < count; ++i) {
    pending |= uint32_t{codes[i]} << pending_bits;
    for (pending_bits += bits; pending_bits >= 8; pending_bits -= 8) {
      *packed++ = static_cast<uint8_t>(pending);
      pending >>= 8;
    }
  }
  if (pending_bits > 0) *packed = static_cast<uint8_t>(pending);
}

template <typename Code>
void UnpackRest(const uint8_t* packed, size_t count, uint32_t bits,
                Code* codes) {
  const uint32_t mask = (1u << bits) - 1;
  uint32_t pending = 0;
  uint32_t pending_bits = 0;
  for (size_t i = 0; i < count; ++i) {
    for (; pending_bits < bits; pending_bits += 8) {
      pending |= uint32_t{*packed++} << pending_bits;
    }
    codes[i] = static_cast<Code>(pending & mask);
    pending >>= bits;
    pending_bits -= bits;
  }
}

template void PackGroup(const uint8_t*, uint32_t, uint8_t*);
template void PackGroup(const uint16_t*, uint32_t, uint8_t*);
template void UnpackGroup(const uint8_t*, uint32_t, uint8_t*);
template void UnpackGroup(const uint8_t*, uint32_t, uint16_t*);
template void PackRest(const uint8_t*, size_t, uint32_t, uint8_t*);
template void PackRest(const uint16_t*, size_t, uint32_t, uint8_t*);
template void UnpackRest(const uint8_t*, size_t, uint32_t, uint8_t*);
template void UnpackRest(const uint8_t*, size_t, uint32_t, uint16_t*);

}  // namespace terse::reference
