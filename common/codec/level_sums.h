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

// Largest workers x top code: a float holds every sum, half steps and all.
inline constexpr uint64_t kLevelSumMax = (uint64_t{1} << 24) - 1;

// How sums are packed: the code of a sum is what the workers' codes add up to,
// from 0 to top, in ceil(log2(top + 1)) bits, and stands for (code - middle)
// times the scale.
struct SumGrid {
  uint32_t top = 2;  // At most kLevelSumMax.
  uint32_t bits = 2;
  float middle = 1;  // top / 2

  SumGrid(const LevelCodec& codec, uint32_t workers);
  size_t Bytes(size_t count) const;

  // Errors: DataLoss (length, a sum beyond top, padding).
  absl::Status Validate(std::span<const std::byte> source, size_t count) const;

  // target[i] = (code_i - middle) * step, rounded once.
  // Requires: `source` is valid for target.size() sums.
  void Decode(std::span<const std::byte> source, float step,
              std::span<float> target) const;
};

class LevelSums {
 public:
  // Starts `count` sums of `workers` payloads of `codec`.
  LevelSums(const LevelCodec& codec, uint32_t workers, size_t count);

  // Requires: `source` is valid for as many elements, and no more payloads are
  // added than there are workers.
  void Add(const LevelCodec& codec, std::span<const std::byte> source);

  // Requires: target.size() == grid.Bytes(count).
  void Pack(std::span<std::byte> target) const;

  // The codes of sums of at most 8 bits, a byte each.
  void Codes(std::span<uint8_t> target) const;

  // As SumGrid::Decode of what Pack writes.
  void Scale(float step, std::span<float> target) const;

 private:
  // Calls `use` with the array in use.
  template <typename Self, typename Use>
  static void WithSums(Self& self, const Use& use);

  // A sum is its code less this, so that the narrowest integers serve.
  uint32_t bias() const { return (grid_.top + 1) / 2; }

  SumGrid grid_;
  std::vector<int8_t> sums8_;
  std::vector<int16_t> sums16_;
  std::vector<int32_t> sums32_;
};

}  // namespace terse

#endif  // TERSE_COMMON_CODEC_LEVEL_SUMS_H_
