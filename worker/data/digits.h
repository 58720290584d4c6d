#ifndef TERSE_WORKER_DATA_DIGITS_H_
#define TERSE_WORKER_DATA_DIGITS_H_

#include <cstddef>
#include <cstdint>
#include <span>

namespace terse {

inline constexpr size_t kDigitSide = 28;
inline constexpr size_t kDigitPixels = kDigitSide * kDigitSide;

// Draws a picture (row after row, ink bright on dark) with all the variety of a
// hand: style, slant, size, place, pen, tremor, smudges. Returns its digit.
// Picture and digit are a function of `key`.
// Requires: pixels.size() == kDigitPixels.
uint32_t DrawDigit(uint64_t key, std::span<uint8_t> pixels);

}  // namespace terse

#endif  // TERSE_WORKER_DATA_DIGITS_H_
