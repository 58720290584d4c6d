#include <bit>
#include <cstdint>
#include <utility>

#include "common/base/random.h"
#include "common/base/status.h"
#include "worker/data/dataset.h"

namespace terse {
namespace {

constexpr int kRounds = 6;  // Even: the two halves end with their own widths.

}  // namespace

// A Feistel network permutes the numbers of `bits` bits; walking along its
// cycles until the first number below `size` permutes those below `size`. The
// walk has fewer than two rounds on average, but in sets of less than 32: with
// halves of one or two bits the network would favour some orders.
uint64_t ShuffledIndex(uint64_t seed, uint64_t epoch, uint64_t size,
                       uint64_t position) {
  TERSE_CHECK(position < size);
  if (size == 1) return 0;
  const int bits = std::bit_width((size - 1) | 63);
  const uint64_t key = DrawKey(Draw::kShuffle, {seed, epoch});
  do {
    int left_bits = bits / 2;
    int right_bits = bits - left_bits;
    uint64_t left = position >> right_bits;
    uint64_t right = position & ((uint64_t{1} << right_bits) - 1);
    for (int round = 0; round < kRounds; ++round) {
      const uint64_t mixed = Mix64(key + right * kRounds + round);
      left ^= mixed >> (64 - left_bits);
      std::swap(left, right);
      std::swap(left_bits, right_bits);
    }
    position = left << right_bits | right;
  } while (position >= size);
  return position;
}

}  // namespace terse
