#include "common/codec/rans.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <vector>

#include "absl/strings/str_cat.h"

namespace terse {
namespace {

constexpr int kScaleBits = 12;
constexpr uint32_t kScale = 1u << kScaleBits;
// States stay in [kStateMin, kStateMin << 16).
constexpr uint32_t kStateMin = 1u << 15;
constexpr size_t kStates = 8;
constexpr size_t kStateBytes = kStates * sizeof(uint32_t);
constexpr size_t kSymbols = 256;
// First byte: the Rice parameter of the frequencies, or one symbol alone.
constexpr uint8_t kRiceMax = 12;
constexpr uint8_t kConstant = 0xff;

using Frequencies = std::array<uint16_t, kSymbols>;

absl::Status RansError(const char* what) {
  return absl::DataLossError(absl::StrCat("entropy-coded bytes: ", what));
}

std::array<uint32_t, kSymbols> Count(std::span<const uint8_t> source) {
  // Four tables, so that equal neighbours do not wait for each other.
  std::array<std::array<uint32_t, kSymbols>, 4> counts = {};
  size_t i = 0;
  for (; i + 4 <= source.size(); i += 4) {
    for (size_t t = 0; t < 4; ++t) ++counts[t][source[i + t]];
  }
  for (; i < source.size(); ++i) ++counts[0][source[i]];
  for (size_t s = 0; s < kSymbols; ++s) {
    counts[0][s] += counts[1][s] + counts[2][s] + counts[3][s];
  }
  return counts[0];
}

// Frequencies that add up to kScale, at least 1 for every byte there is.
Frequencies Normalize(const std::array<uint32_t, kSymbols>& counts,
                      size_t total) {
  Frequencies frequencies = {};
  int64_t excess = -int64_t{kScale};
  for (size_t s = 0; s < kSymbols; ++s) {
    if (counts[s] == 0) continue;
    const uint64_t scaled = (uint64_t{counts[s]} * kScale + total / 2) / total;
    frequencies[s] = static_cast<uint16_t>(std::max<uint64_t>(scaled, 1));
    excess += frequencies[s];
  }
  // Rounding is set right where it matters least: at the most frequent.
  while (excess != 0) {
    uint16_t& most = *std::max_element(frequencies.begin(), frequencies.end());
    const int64_t change =
        std::clamp<int64_t>(excess, -int64_t{kScale}, std::max(1, most / 8));
    most = static_cast<uint16_t>(most - change);
    excess -= change;
  }
  return frequencies;
}

// Of each frequency the bits that a symbol costs, in 1/256, rounded down: whole
// numbers, so that what is decided by them is the same everywhere.
constexpr auto kSymbolCosts = [] {
  std::array<uint16_t, kScale + 1> costs = {};
  for (uint32_t f = 1; f <= kScale; ++f) {
    // log2 f by repeated squaring of a mantissa in [1, 2), of 30 bits.
    const int whole = std::bit_width(f) - 1;
    uint64_t mantissa = (uint64_t{f} << 30) >> whole;
    uint32_t log = static_cast<uint32_t>(whole);
    for (int bit = 0; bit < 8; ++bit) {
      mantissa = mantissa * mantissa >> 30;
      const uint32_t carry = mantissa >> 31 != 0 ? 1 : 0;
      mantissa >>= carry;
      log = 2 * log + carry;
    }
    costs[f] = static_cast<uint16_t>((kScaleBits << 8) - log - (f < kScale));
  }
  return costs;
}();

// About the least that Push will write for so many bytes of each kind.
size_t WordBytesMin(const std::array<uint32_t, kSymbols>& counts,
                    const Frequencies& frequencies) {
  uint64_t cost = 0;
  for (size_t s = 0; s < kSymbols; ++s) {
    cost += uint64_t{counts[s]} * kSymbolCosts[frequencies[s]];
  }
  // States take in what is not written yet: 16 bits each.
  const uint64_t bytes = cost >> 11;
  return bytes < kStateBytes ? 0 : bytes - kStateBytes;
}

size_t FrequencyBits(const Frequencies& frequencies, int rice) {
  size_t bits = kSymbols * (1 + static_cast<size_t>(rice));
  for (uint16_t f : frequencies) bits += f >> rice;
  return bits;
}

// Rice codes of all frequencies: quotient zeros, a one, `rice` low bits.
std::vector<uint8_t> WriteFrequencies(const Frequencies& frequencies) {
  int rice = 0;
  for (int r = 1; r <= kRiceMax; ++r) {
    if (FrequencyBits(frequencies, r) < FrequencyBits(frequencies, rice)) {
      rice = r;
    }
  }
  std::vector<uint8_t> bytes(1 + (FrequencyBits(frequencies, rice) + 7) / 8);
  bytes[0] = static_cast<uint8_t>(rice);
  size_t bit = 8;
  const auto put = [&](uint32_t one) {
    bytes[bit / 8] |= static_cast<uint8_t>(one << (bit % 8));
    ++bit;
  };
  for (uint16_t f : frequencies) {
    bit += f >> rice;
    put(1);
    for (int b = 0; b < rice; ++b) put(f >> b & 1);
  }
  return bytes;
}

// Returns the bytes read, 0 if they are no table.
size_t ReadFrequencies(std::span<const uint8_t> source,
                       Frequencies* frequencies) {
  const int rice = source[0];
  if (rice > kRiceMax) return 0;
  const size_t bits = source.size() * 8;
  size_t bit = 8;
  const auto get = [&]() -> uint32_t {
    const uint32_t one = source[bit / 8] >> (bit % 8) & 1;
    ++bit;
    return one;
  };
  uint32_t sum = 0;
  for (uint16_t& f : *frequencies) {
    uint32_t quotient = 0;
    while (true) {
      if (bit >= bits || quotient > kScale) return 0;
      if (get() != 0) break;
      ++quotient;
    }
    if (bit + rice > bits) return 0;
    uint32_t low = 0;
    for (int b = 0; b < rice; ++b) low |= get() << b;
    const uint32_t value = (quotient << rice) + low;
    sum += value;
    if (sum > kScale) return 0;
    f = static_cast<uint16_t>(value);
  }
  if (sum != kScale) return 0;
  const size_t bytes = (bit + 7) / 8;
  if (bit % 8 != 0 && source[bytes - 1] >> (bit % 8) != 0) return 0;
  return bytes;
}

// One symbol's step of the encoder, with its division by the frequency turned
// into a multiplication (Alverson 1991; exact for states below 2^31).
struct EncoderSymbol {
  uint32_t state_max = 0;  // Above it 16 bits go out first.
  uint32_t reciprocal = 0;
  uint32_t bias = 0;
  uint16_t complement = 0;  // kScale - frequency
  uint16_t shift = 0;
};

EncoderSymbol MakeEncoderSymbol(uint32_t start, uint32_t frequency) {
  EncoderSymbol symbol;
  symbol.state_max = ((kStateMin >> kScaleBits) << 16) * frequency;
  symbol.complement = static_cast<uint16_t>(kScale - frequency);
  if (frequency < 2) {
    // x / 1 as (x * (2^32 - 1)) >> 32 = x - 1; the bias makes up for it.
    symbol.reciprocal = ~0u;
    symbol.bias = start + kScale - 1;
    return symbol;
  }
  const int shift = std::bit_width(frequency - 1);
  symbol.reciprocal = static_cast<uint32_t>(
      ((uint64_t{1} << (shift + 31)) + frequency - 1) / frequency);
  symbol.shift = static_cast<uint16_t>(shift - 1);
  symbol.bias = start;
  return symbol;
}

using EncoderSymbols = std::array<EncoderSymbol, kSymbols>;

EncoderSymbols MakeEncoderSymbols(const Frequencies& frequencies) {
  EncoderSymbols symbols;
  uint32_t start = 0;
  for (size_t s = 0; s < kSymbols; ++s) {
    if (frequencies[s] == 0) continue;
    symbols[s] = MakeEncoderSymbol(start, frequencies[s]);
    start += frequencies[s];
  }
  return symbols;
}

// Pushes the bytes from last to first; words grow downwards from `end`. Returns
// the first word.
uint16_t* Push(std::span<const uint8_t> source, const EncoderSymbols& symbols,
               uint16_t* end, std::array<uint32_t, kStates>* final_states) {
  std::array<uint32_t, kStates> states;
  states.fill(kStateMin);
  uint16_t* word = end;
  const auto push = [&](size_t i, uint32_t& state) {
    const EncoderSymbol& symbol = symbols[source[i]];
    uint32_t x = state;
    // No branch: it would be mispredicted every third time.
    const uint32_t out = x >= symbol.state_max ? 1 : 0;
    word[-1] = static_cast<uint16_t>(x);
    word -= out;
    x >>= 16 * out;
    const auto quotient = static_cast<uint32_t>(
        (uint64_t{x} * symbol.reciprocal >> 32) >> symbol.shift);
    state = x + symbol.bias + quotient * symbol.complement;
  };
  size_t i = source.size();
  for (; i % kStates != 0; --i) push(i - 1, states[(i - 1) % kStates]);
  for (; i > 0; i -= kStates) {
#pragma GCC unroll 8
    for (size_t s = kStates; s-- > 0;) push(i - kStates + s, states[s]);
  }
  *final_states = states;
  return word;
}

// Of each slot: the byte in bits 0..7, the slot's offset in the byte's range in
// bits 8..19, the byte's frequency less one in bits 20..31.
using DecoderTable = std::array<uint32_t, kScale>;

DecoderTable MakeDecoderTable(const Frequencies& frequencies) {
  DecoderTable table;
  uint32_t slot = 0;
  for (uint32_t s = 0; s < kSymbols; ++s) {
    for (uint32_t o = 0; o < frequencies[s]; ++o, ++slot) {
      table[slot] = s | o << 8 | (frequencies[s] - 1u) << 20;
    }
  }
  return table;
}

struct Popped {
  uint32_t state;  // Before words come in.
  uint8_t byte;
};

Popped PopOne(const DecoderTable& table, uint32_t state) {
  const uint32_t entry = table[state & (kScale - 1)];
  const uint32_t offset = entry >> 8 & (kScale - 1);
  return {((entry >> 20) + 1) * (state >> kScaleBits) + offset,
          static_cast<uint8_t>(entry)};
}

// Pops `target` from the words at `source`; returns whether they were exactly
// enough and the states ended where they started.
bool Pop(std::span<const uint8_t> source, const DecoderTable& table,
         std::array<uint32_t, kStates> states, std::span<uint8_t> target) {
  const uint8_t* next = source.data();
  const uint8_t* const end = next + source.size();
  size_t i = 0;
  // Looks at one word more than it may take.
  constexpr ptrdiff_t kLookedAt = 2 * kStates + 2;
  for (; i + kStates <= target.size() && end - next >= kLookedAt;
       i += kStates) {
    uint64_t bytes = 0;
#pragma GCC unroll 8
    for (size_t s = 0; s < kStates; ++s) {
      const Popped popped = PopOne(table, states[s]);
      uint16_t word;
      std::memcpy(&word, next, sizeof(word));
      // Shifts and masks: a branch would be mispredicted every third time.
      const uint32_t in = popped.state < kStateMin ? 1 : 0;
      next += sizeof(word) * in;
      states[s] = popped.state << (16 * in) | (word & (0u - in));
      bytes |= uint64_t{popped.byte} << (8 * s);
    }
    std::memcpy(target.data() + i, &bytes, sizeof(bytes));
  }
  for (; i < target.size(); ++i) {
    const Popped popped = PopOne(table, states[i % kStates]);
    target[i] = popped.byte;
    uint32_t& state = states[i % kStates];
    state = popped.state;
    if (state < kStateMin) {
      if (end - next < 2) return false;
      uint16_t word;
      std::memcpy(&word, next, sizeof(word));
      next += sizeof(word);
      state = state << 16 | word;
    }
  }
  return next == end && std::all_of(states.begin(), states.end(),
                                    [](uint32_t x) { return x == kStateMin; });
}

}  // namespace

size_t EncodeRans(std::span<const uint8_t> source, std::span<uint8_t> target) {
  const auto counts = Count(source);
  if (counts[source[0]] == source.size()) {
    if (target.size() < 2) return 0;
    target[0] = kConstant;
    target[1] = source[0];
    return 2;
  }
  Frequencies frequencies = Normalize(counts, source.size());
  const std::vector<uint8_t> table = WriteFrequencies(frequencies);
  if (table.size() + kStateBytes + WordBytesMin(counts, frequencies) >
      target.size()) {
    return 0;
  }
  thread_local std::vector<uint16_t> words;
  words.resize(source.size() + 1);
  std::array<uint32_t, kStates> states;
  uint16_t* const end = words.data() + words.size();
  const uint16_t* const first =
      Push(source, MakeEncoderSymbols(frequencies), end, &states);
  const size_t word_bytes = (end - first) * sizeof(uint16_t);
  const size_t bytes = table.size() + kStateBytes + word_bytes;
  if (bytes > target.size()) return 0;
  uint8_t* out = target.data();
  std::memcpy(out, table.data(), table.size());
  std::memcpy(out + table.size(), states.data(), kStateBytes);
  std::memcpy(out + table.size() + kStateBytes, first, word_bytes);
  return bytes;
}

absl::Status DecodeRans(std::span<const uint8_t> source,
                        std::span<uint8_t> target) {
  if (source.empty()) return RansError("missing");
  if (source[0] == kConstant) {
    if (source.size() != 2) return RansError("wrong length");
    std::fill(target.begin(), target.end(), source[1]);
    return absl::OkStatus();
  }
  Frequencies frequencies;
  const size_t table_bytes = ReadFrequencies(source, &frequencies);
  if (table_bytes == 0) return RansError("no table of frequencies");
  if (source.size() < table_bytes + kStateBytes) {
    return RansError("cut short");
  }
  std::array<uint32_t, kStates> states;
  std::memcpy(states.data(), source.data() + table_bytes, kStateBytes);
  for (uint32_t state : states) {
    if (state < kStateMin || state >= kStateMin << 16) {
      return RansError("a state is out of range");
    }
  }
  const DecoderTable table = MakeDecoderTable(frequencies);
  if (!Pop(source.subspan(table_bytes + kStateBytes), table, states, target)) {
    return RansError("states and words do not fit");
  }
  return absl::OkStatus();
}

}  // namespace terse
