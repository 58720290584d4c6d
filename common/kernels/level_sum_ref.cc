#include <algorithm>

#include "common/kernels/level_sum.h"
#include "common/kernels/pack.h"
#include "common/kernels/ternary.h"

namespace terse::reference {
namespace {

constexpr uint8_t kPowers[kTritsPerByte] = {1, 3, 9, 27, 81};

// Calls run(start, elements, position) for runs of up to one group; `position`
// is where the run's bytes begin.
template <typename Run>
void ForEachGroup(size_t count, uint32_t bits, const Run& run) {
  for (size_t start = 0; start < count; start += kPackGroup) {
    run(start, std::min(kPackGroup, count - start),
        start / kPackGroup * (kPackGroup / 8) * bits);
  }
}

template <typename Code>
void PackRun(const Code* codes, size_t count, uint32_t bits, uint8_t* packed) {
  if (count == kPackGroup) {
    PackGroup(codes, bits, packed);
  } else {
    PackRest(codes, count, bits, packed);
  }
}

template <typename Code>
void UnpackRun(const uint8_t* packed, size_t count, uint32_t bits,
               Code* codes) {
  if (count == kPackGroup) {
    UnpackGroup(packed, bits, codes);
  } else {
    UnpackRest(packed, count, bits, codes);
  }
}

// Codes of up to 16 bits, in the layout of their width.
void PackNarrow(const uint16_t* codes, size_t count, uint32_t bits,
                uint8_t* packed) {
  if (bits > 8) return PackRun(codes, count, bits, packed);
  uint8_t narrow[kPackGroup];
  for (size_t i = 0; i < count; ++i) narrow[i] = static_cast<uint8_t>(codes[i]);
  PackRun(narrow, count, bits, packed);
}

void UnpackNarrow(const uint8_t* packed, size_t count, uint32_t bits,
                  uint16_t* codes) {
  if (bits > 8) return UnpackRun(packed, count, bits, codes);
  uint8_t narrow[kPackGroup];
  UnpackRun(packed, count, bits, narrow);
  std::copy(narrow, narrow + count, codes);
}

// Calls visit(i, code) for codes of 1 to 32 bits, packed as PackSums does.
template <typename Visit>
void ForEachCode(const uint8_t* packed, size_t count, uint32_t bits,
                 const Visit& visit) {
  const uint32_t low_bits = std::min(bits, 16u);
  const uint8_t* const upper = packed + PackedCodeBytes(count, low_bits);
  uint16_t low[kPackGroup];
  uint16_t high[kPackGroup] = {};
  for (size_t start = 0; start < count; start += kPackGroup) {
    const size_t run = std::min(kPackGroup, count - start);
    const size_t group = start / kPackGroup * (kPackGroup / 8);
    UnpackNarrow(packed + group * low_bits, run, low_bits, low);
    if (bits > 16) {
      UnpackNarrow(upper + group * (bits - 16), run, bits - 16, high);
    }
    for (size_t i = 0; i < run; ++i) {
      visit(start + i, uint32_t{low[i]} | uint32_t{high[i]} << 16);
    }
  }
}

}  // namespace

template <typename Sum>
void AddTernaryTail(const uint8_t* packed, size_t start, size_t count,
                    Sum* sums) {
  for (size_t i = start; i < count; ++i) {
    const uint8_t byte = packed[i / kTritsPerByte];
    const int trit = byte / kPowers[(i - start) % kTritsPerByte] % 3 - 1;
    sums[i] = static_cast<Sum>(sums[i] + trit);
  }
}

template <typename Sum>
void AddTernary(const uint8_t* packed, size_t count, Sum* sums) {
  const size_t grouped = count / kTritGroup * kTritGroup;
  for (size_t i = 0; i < grouped; ++i) {
    const size_t in_group = i % kTritGroup;
    const uint8_t byte =
        packed[(i - in_group) / kTritsPerByte + in_group % kTritGroupBytes];
    const int trit = byte / kPowers[in_group / kTritGroupBytes] % 3 - 1;
    sums[i] = static_cast<Sum>(sums[i] + trit);
  }
  AddTernaryTail(packed, grouped, count, sums);
}

template <typename Sum>
void PackSums(const Sum* sums, size_t count, uint32_t bias, uint32_t bits,
              uint8_t* packed) {
  const uint32_t low_bits = std::min(bits, 16u);
  uint16_t codes[kPackGroup];
  const auto pack = [&](uint32_t shift, uint32_t width, uint8_t* target) {
    ForEachGroup(count, width, [&](size_t start, size_t run, size_t position) {
      for (size_t i = 0; i < run; ++i) {
        const uint32_t code = static_cast<uint32_t>(sums[start + i]) + bias;
        codes[i] = static_cast<uint16_t>(code >> shift);
      }
      PackNarrow(codes, run, width, target + position);
    });
  };
  pack(0, low_bits, packed);
  if (bits <= 16) return;
  pack(16, bits - 16, packed + PackedCodeBytes(count, 16));
}

void UnpackSums(const uint8_t* packed, size_t count, uint32_t bits,
                float middle, float step, float* target) {
  ForEachCode(packed, count, bits, [&](size_t i, uint32_t code) {
    target[i] = (static_cast<float>(code) - middle) * step;
  });
}

template <typename Sum>
void AddCodes(const uint8_t* packed, size_t count, uint32_t bits, uint32_t zero,
              Sum* sums) {
  ForEachCode(packed, count, bits, [&](size_t i, uint32_t code) {
    sums[i] = static_cast<Sum>(sums[i] + static_cast<int32_t>(code - zero));
  });
}

uint32_t MaxWideCode(const uint8_t* packed, size_t count, uint32_t bits) {
  uint32_t max = 0;
  ForEachCode(packed, count, bits,
              [&](size_t, uint32_t code) { max = std::max(max, code); });
  return max;
}

#define TERSE_INSTANTIATE(Sum)                                              \
  template void AddTernaryTail(const uint8_t*, size_t, size_t, Sum*);       \
  template void AddTernary(const uint8_t*, size_t, Sum*);                   \
  template void AddCodes(const uint8_t*, size_t, uint32_t, uint32_t, Sum*); \
  template void PackSums(const Sum*, size_t, uint32_t, uint32_t, uint8_t*)
TERSE_INSTANTIATE(int8_t);
TERSE_INSTANTIATE(int16_t);
TERSE_INSTANTIATE(int32_t);
#undef TERSE_INSTANTIATE

}  // namespace terse::reference
