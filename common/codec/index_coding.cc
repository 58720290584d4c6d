#include "common/codec/index_coding.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "absl/strings/str_cat.h"

namespace terse {
namespace {

// Rice codes must be shorter than a bitmap by this part of it.
constexpr size_t kBitmapSlack = 64;

// The best number of low bits if gaps are geometric with mean count / kept.
int RiceBits(size_t count, size_t kept) {
  const double bits = std::log2(0.6931 * static_cast<double>(count) /
                                static_cast<double>(kept));
  return std::clamp(static_cast<int>(std::lround(bits)), 0, int{kRiceBitsMax});
}

// Bits of the gaps, the format byte not counted.
uint64_t RiceSize(std::span<const uint32_t> indices, int low_bits) {
  uint64_t quotients = 0;
  uint32_t next = 0;
  for (uint32_t index : indices) {
    quotients += (index - next) >> low_bits;
    next = index + 1;
  }
  return quotients + indices.size() * (uint64_t{1} + low_bits);
}

// Appends bits, lowest first.
class BitWriter {
 public:
  explicit BitWriter(uint8_t* target) : target_(target) {}

  // Requires: bits <= 32 and value < 2^bits.
  void Write(uint64_t value, int bits) {
    pending_ |= value << filled_;
    filled_ += bits;
    if (filled_ >= 32) {
      const auto word = static_cast<uint32_t>(pending_);
      std::memcpy(target_, &word, sizeof(word));
      target_ += sizeof(word);
      pending_ >>= 32;
      filled_ -= 32;
    }
  }

  // Returns the end of what was written.
  uint8_t* Finish() {
    for (; filled_ > 0; filled_ -= 8) {
      *target_++ = static_cast<uint8_t>(pending_);
      pending_ >>= 8;
    }
    return target_;
  }

 private:
  uint8_t* target_;
  uint64_t pending_ = 0;
  int filled_ = 0;
};

uint8_t* WriteRice(std::span<const uint32_t> indices, int low_bits,
                   uint8_t* target) {
  BitWriter writer(target);
  uint32_t next = 0;
  const uint32_t mask = (uint32_t{1} << low_bits) - 1;
  for (uint32_t index : indices) {
    const uint32_t gap = index - next;
    uint32_t quotient = gap >> low_bits;
    for (; quotient >= 32; quotient -= 32) writer.Write(0, 32);
    writer.Write(uint64_t{1} << quotient, static_cast<int>(quotient) + 1);
    writer.Write(gap & mask, low_bits);
    next = index + 1;
  }
  return writer.Finish();
}

uint8_t* WriteBitmap(std::span<const uint32_t> indices, size_t count,
                     uint8_t* target) {
  const size_t bytes = (count + 7) / 8;
  std::memset(target, 0, bytes);
  for (uint32_t index : indices) target[index / 8] |= 1u << (index % 8);
  return target + bytes;
}

// 64 bits from bit `bit` on, zeros beyond the end.
uint64_t ReadWindow(std::span<const uint8_t> source, uint64_t bit) {
  const size_t byte = bit / 8;
  uint64_t low = 0;
  if (byte + 9 <= source.size()) {
    std::memcpy(&low, source.data() + byte, sizeof(low));
    const int shift = static_cast<int>(bit % 8);
    if (shift == 0) return low;
    return low >> shift | uint64_t{source[byte + 8]} << (64 - shift);
  }
  uint8_t rest[16] = {};
  if (byte < source.size()) {
    std::memcpy(rest, source.data() + byte, source.size() - byte);
  }
  uint64_t high;
  std::memcpy(&low, rest, sizeof(low));
  std::memcpy(&high, rest + 8, sizeof(high));
  const int shift = static_cast<int>(bit % 8);
  return shift == 0 ? low : low >> shift | high << (64 - shift);
}

absl::Status IndexError(const char* what) {
  return absl::DataLossError(absl::StrCat("index set: ", what));
}

absl::StatusOr<size_t> ValidateBitmap(std::span<const uint8_t> source,
                                      size_t count, size_t kept) {
  const size_t bytes = 1 + (count + 7) / 8;
  if (source.size() < bytes) return IndexError("bitmap is cut short");
  size_t ones = 0;
  for (size_t i = 1; i < bytes; ++i) ones += std::popcount(source[i]);
  if (ones != kept) return IndexError("bitmap has another number of elements");
  if (count % 8 != 0 && source[bytes - 1] >> (count % 8) != 0) {
    return IndexError("bitmap marks elements beyond the block");
  }
  return bytes;
}

absl::StatusOr<size_t> ValidateRice(std::span<const uint8_t> source,
                                    size_t count, size_t kept) {
  const int low_bits = source[0];
  const uint64_t bits = uint64_t{source.size()} * 8;
  uint64_t bit = 8;
  uint64_t next = 0;
  for (size_t i = 0; i < kept; ++i) {
    uint64_t quotient = 0;
    uint64_t window = ReadWindow(source, bit);
    while (window == 0 && bit < bits) {
      quotient += 64;
      bit += 64;
      window = ReadWindow(source, bit);
    }
    if (window == 0) return IndexError("gaps are cut short");
    const int zeros = std::countr_zero(window);
    quotient += zeros;
    bit += zeros + 1;
    const uint64_t low =
        ReadWindow(source, bit) & ((uint64_t{1} << low_bits) - 1);
    bit += low_bits;
    if (bit > bits) return IndexError("gaps are cut short");
    if (quotient > count >> low_bits) return IndexError("index out of range");
    next += (quotient << low_bits) + low + 1;
    if (next > count) return IndexError("index out of range");
  }
  const size_t bytes = (bit + 7) / 8;
  if (bit % 8 != 0 && source[bytes - 1] >> (bit % 8) != 0) {
    return IndexError("padding is not zero");
  }
  return bytes;
}

}  // namespace

size_t MaxIndexBytes(size_t count, size_t kept) {
  if (kept == 0) return 0;
  if (kept == count) return 1;
  const int low_bits = RiceBits(count, kept);
  const uint64_t rice =
      kept * (uint64_t{1} + low_bits) + ((count - kept) >> low_bits);
  return 1 + static_cast<size_t>((std::min<uint64_t>(rice, count) + 7) / 8);
}

size_t TypicalIndexBytes(size_t count, size_t kept) {
  if (kept == 0 || kept == count) return MaxIndexBytes(count, kept);
  // The entropy of independent positions, which Rice codes miss by up to 1 %.
  const double share = static_cast<double>(kept) / static_cast<double>(count);
  const double bits =
      -share * std::log2(share) - (1 - share) * std::log2(1 - share);
  return std::min(MaxIndexBytes(count, kept),
                  1 + static_cast<size_t>(std::ceil(
                          1.01 * bits * static_cast<double>(count) / 8)));
}

size_t EncodeIndices(std::span<const uint32_t> indices, size_t count,
                     std::span<uint8_t> target) {
  const size_t kept = indices.size();
  if (kept == 0) return 0;
  if (kept == count) {
    target[0] = kIndexAll;
    return 1;
  }
  const size_t bitmap_bytes = 1 + (count + 7) / 8;
  const size_t slack = count / kBitmapSlack;
  // Of half the positions or more codes without low bits are the shortest: they
  // end with the last position.
  if (2 * kept >= count && indices.back() + 1 + slack >= count &&
      bitmap_bytes <= MaxIndexBytes(count, kept)) {
    target[0] = kIndexBitmap;
    return WriteBitmap(indices, count, target.data() + 1) - target.data();
  }
  // Clustered positions want fewer low bits than independent ones.
  const int guess = RiceBits(count, kept);
  int low_bits = guess;
  uint64_t rice_bits = RiceSize(indices, guess);
  for (int bits = guess - 1; bits >= 0; --bits) {
    const uint64_t size = RiceSize(indices, bits);
    if (size >= rice_bits) break;
    rice_bits = size;
    low_bits = bits;
  }
  if (low_bits == guess && guess < kRiceBitsMax) {
    const uint64_t size = RiceSize(indices, guess + 1);
    if (size < rice_bits) {
      rice_bits = size;
      low_bits = guess + 1;
    }
  }
  // A bitmap that is hardly longer, for it is read faster.
  const bool bitmap =
      rice_bits + slack >= count && bitmap_bytes <= MaxIndexBytes(count, kept);
  if (!bitmap) {
    target[0] = static_cast<uint8_t>(low_bits);
    return WriteRice(indices, low_bits, target.data() + 1) - target.data();
  }
  target[0] = kIndexBitmap;
  return WriteBitmap(indices, count, target.data() + 1) - target.data();
}

absl::StatusOr<size_t> ValidateIndices(std::span<const uint8_t> source,
                                       size_t count, size_t kept) {
  if (kept > count) return IndexError("more elements than the block has");
  if (kept == 0) return size_t{0};
  if (source.empty()) return IndexError("missing");
  const uint8_t form = source[0];
  if ((form == kIndexAll) != (kept == count)) {
    return IndexError("form does not fit the number of elements");
  }
  if (form == kIndexAll) return size_t{1};
  if (form == kIndexBitmap) return ValidateBitmap(source, count, kept);
  if (form > kRiceBitsMax) return IndexError("unknown form");
  return ValidateRice(source, count, kept);
}

IndexReader::IndexReader(std::span<const uint8_t> source)
    : source_(source), form_(source.empty() ? kIndexAll : source[0]) {}

uint32_t IndexReader::Next() {
  switch (form_) {
    case kIndexAll:
      return next_++;
    case kIndexBitmap:
      return NextInBitmap();
    default:
      return NextRice();
  }
}

void IndexReader::Read(std::span<uint32_t> indices) {
  switch (form_) {
    case kIndexAll:
      for (uint32_t& index : indices) index = next_++;
      return;
    case kIndexBitmap:
      return ReadBitmap(indices);
    default:
      for (uint32_t& index : indices) index = NextRice();
  }
}

void IndexReader::ReadBitmap(std::span<uint32_t> indices) {
  for (size_t i = 0; i < indices.size();) {
    uint64_t window = ReadWindow(source_, bit_);
    const uint64_t base = bit_ - 8;
    bit_ += 64;
    for (; window != 0; window &= window - 1) {
      const auto zeros = static_cast<uint64_t>(std::countr_zero(window));
      indices[i++] = static_cast<uint32_t>(base + zeros);
      if (i < indices.size()) continue;
      bit_ = base + 8 + zeros + 1;
      return;
    }
  }
}

uint32_t IndexReader::NextInBitmap() {
  uint64_t window = ReadWindow(source_, bit_);
  while (window == 0) {
    bit_ += 64;
    window = ReadWindow(source_, bit_);
  }
  bit_ += std::countr_zero(window) + 1;
  return static_cast<uint32_t>(bit_ - 9);
}

uint32_t IndexReader::NextRice() {
  uint64_t quotient = 0;
  uint64_t window = ReadWindow(source_, bit_);
  while (window == 0) {
    quotient += 64;
    bit_ += 64;
    window = ReadWindow(source_, bit_);
  }
  const int zeros = std::countr_zero(window);
  quotient += zeros;
  bit_ += zeros + 1;
  // Most often the low bits are in the window too.
  window = zeros + 1 + form_ <= 64 && zeros < 63 ? window >> (zeros + 1)
                                                 : ReadWindow(source_, bit_);
  const uint64_t low = window & ((uint64_t{1} << form_) - 1);
  bit_ += form_;
  const auto index = static_cast<uint32_t>(next_ + (quotient << form_) + low);
  next_ = index + 1;
  return index;
}

}  // namespace terse
