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
