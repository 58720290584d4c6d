// An order-0 entropy coder of bytes: range asymmetric numeral systems (Duda,
// arXiv 1311.2540), eight interleaved states, probabilities of 12 bits, 16 bits
// in or out at a time. Format: FORMAT.md, "Entropy-coded bytes".
#ifndef TERSE_COMMON_CODEC_RANS_H_
#define TERSE_COMMON_CODEC_RANS_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "absl/status/status.h"

namespace terse {

enum class EntropyCoding : uint8_t {
  kNever,
  kWhereSmaller,
  // At most 7/8 of the bytes: a rule of the data alone, not of clocks.
  kWhereWorthIt,
};

inline const char* NameOf(EntropyCoding coding) {
  constexpr const char* kNames[] = {"fixed", "entropy", "auto"};
  return kNames[static_cast<uint8_t>(coding)];
}

// Most bytes that coding `bytes` (> 0) of them may come to. Less than `bytes`:
// the length tells the two forms apart.
inline size_t CodedBytesMax(EntropyCoding coding, size_t bytes) {
  return coding == EntropyCoding::kWhereSmaller ? bytes - 1
                                                : bytes - bytes / 8 - 1;
}

// Codes `source` (not empty) and returns the bytes used, or 0 if they would be
// more than `target` has.
size_t EncodeRans(std::span<const uint8_t> source, std::span<uint8_t> target);

// Fills `target` (not empty) with what `source`, all of it, encodes. After an
// error `target` means nothing.
// Errors: DataLoss.
absl::Status DecodeRans(std::span<const uint8_t> source,
                        std::span<uint8_t> target);

}  // namespace terse

#endif  // TERSE_COMMON_CODEC_RANS_H_
