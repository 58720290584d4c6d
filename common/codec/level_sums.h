// The levels of a block, summed over the workers as integers of the narrowest
// width that no sum can leave, and packed for the way down.
#ifndef TERSE_COMMON_CODEC_LEVEL_SUMS_H_
#define TERSE_COMMON_CODEC_LEVEL_SUMS_H_

#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "common/codec/level_codec.h"

namespace terse {

// Largest workers x levels: a float holds every sum.
inline constexpr uint64_t kLevelSumMax = (uint64_t{1} << 24) - 1;

// How sums of -max..max are packed: the code of a sum is sum + max, in
// ceil(log2(2 max + 1)) bits.
struct SumGrid {
  uint32_t max = 1;  // At most kLevelSumMax.
  uint32_t bits = 2;

  SumGrid(const LevelCodec& codec, uint32_t workers);
  size_t Bytes(size_t count) const;

  // Errors: DataLoss (length, a sum beyond max, padding).
  absl::Status Validate(std::span<const std::byte> source, size_t count) const;

  // target[i] = sum_i * step, rounded once.
  // Requires: `source` is valid for target.size() sums.
  void Decode(std::span<const std::byte> source, float step,
              std::span<float> target) const;
};

class LevelSums {
 public:
  // Starts `count` sums at 0.
  LevelSums(const SumGrid& grid, size_t count);

  // Requires: `source` is valid for as many elements, and no more payloads are
  // added than the grid has workers.
  void Add(const LevelCodec& codec, std::span<const std::byte> source);

  // Requires: target.size() == grid.Bytes(count).
  void Pack(std::span<std::byte> target) const;

  // As SumGrid::Decode of what Pack writes.
  void Scale(float step, std::span<float> target) const;

 private:
  // Calls `use` with the array in use.
  template <typename Self, typename Use>
  static void WithSums(Self& self, const Use& use);

  SumGrid grid_;
  std::vector<int8_t> sums8_;
  std::vector<int16_t> sums16_;
  std::vector<int32_t> sums32_;
};

}  // namespace terse

#endif  // TERSE_COMMON_CODEC_LEVEL_SUMS_H_
