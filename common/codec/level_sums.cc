#include "common/codec/level_sums.h"

#include <cstdint>
#include <limits>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/codec/payload.h"
#include "common/kernels/level_sum.h"
#include "common/kernels/pack.h"

namespace terse {

SumGrid::SumGrid(const LevelCodec& codec, uint32_t workers) {
  const uint64_t reach = uint64_t{workers} * codec.MaxLevel();
  TERSE_CHECK(reach > 0 && reach <= kLevelSumMax);
  max = static_cast<uint32_t>(reach);
  bits = CodeBits(2 * max);
}

size_t SumGrid::Bytes(size_t count) const {
  return PackedSumBytes(count, bits);
}

absl::Status SumGrid::Validate(std::span<const std::byte> source,
                               size_t count) const {
  TERSE_RETURN_IF_ERROR(CheckSize("level sum", source.size(), Bytes(count)));
  if (count == 0 || SumsAreValid(BytesOf(source), count, bits, 2 * max)) {
    return absl::OkStatus();
  }
  return absl::DataLossError(absl::StrCat("level sum: a sum is beyond ", max,
                                          " or the padding is not zero"));
}

void SumGrid::Decode(std::span<const std::byte> source, float step,
                     std::span<float> target) const {
  UnpackSums(BytesOf(source), target.size(), bits, max, step, target.data());
}

LevelSums::LevelSums(const SumGrid& grid, size_t count) : grid_(grid) {
  if (grid.max <= std::numeric_limits<int8_t>::max()) {
    sums8_.resize(count);
  } else if (grid.max <= std::numeric_limits<int16_t>::max()) {
    sums16_.resize(count);
  } else {
    sums32_.resize(count);
  }
}

template <typename Self, typename Use>
void LevelSums::WithSums(Self& self, const Use& use) {
  if (!self.sums8_.empty()) use(std::span(self.sums8_));
  if (!self.sums16_.empty()) use(std::span(self.sums16_));
  if (!self.sums32_.empty()) use(std::span(self.sums32_));
}

void LevelSums::Add(const LevelCodec& codec,
                    std::span<const std::byte> source) {
  WithSums(*this, [&](auto sums) { codec.AddLevels(source, sums); });
}

void LevelSums::Pack(std::span<std::byte> target) const {
  WithSums(*this, [&](auto sums) {
    TERSE_CHECK(target.size() == grid_.Bytes(sums.size()));
    PackSums(sums.data(), sums.size(), grid_.max, grid_.bits, BytesOf(target));
  });
}

void LevelSums::Scale(float step, std::span<float> target) const {
  WithSums(*this, [&](auto sums) {
    TERSE_CHECK(target.size() == sums.size());
    ScaleSums(sums.data(), sums.size(), step, target.data());
  });
}

}  // namespace terse
