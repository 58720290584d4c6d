#include "common/codec/level_sums.h"

#include <cstdint>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/codec/payload.h"
#include "common/kernels/level_sum.h"
#include "common/kernels/pack.h"

namespace terse {

SumGrid::SumGrid(const LevelCodec& codec, uint32_t workers) {
  const uint64_t reach = uint64_t{workers} * codec.Top();
  TERSE_CHECK(reach > 0 && reach <= kLevelSumMax);
  top = static_cast<uint32_t>(reach);
  bits = CodeBits(top);
  middle = static_cast<float>(top) / 2;
}

size_t SumGrid::Bytes(size_t count) const {
  return PackedSumBytes(count, bits);
}

absl::Status SumGrid::Validate(std::span<const std::byte> source,
                               size_t count) const {
  TERSE_RETURN_IF_ERROR(CheckSize("level sum", source.size(), Bytes(count)));
  if (count == 0 || SumsAreValid(BytesOf(source), count, bits, top)) {
    return absl::OkStatus();
  }
  return absl::DataLossError(absl::StrCat("level sum: a sum is beyond ", top,
                                          " or the padding is not zero"));
}

void SumGrid::Decode(std::span<const std::byte> source, float step,
                     std::span<float> target) const {
  UnpackSums(BytesOf(source), target.size(), bits, middle, step, target.data());
}

LevelSums::LevelSums(const LevelCodec& codec, uint32_t workers, size_t count)
    : grid_(codec, workers) {
  // AddLevels takes half the top, rounded down, off every code: what that is
  // short of the bias goes off before. Every sum on the way is then from -bias
  // to top - bias, which as many bits hold as the codes have.
  const int32_t start = static_cast<int32_t>(workers * (codec.Top() / 2)) -
                        static_cast<int32_t>(bias());
  if (grid_.bits <= 8) {
    sums8_.resize(count, static_cast<int8_t>(start));
  } else if (grid_.bits <= 16) {
    sums16_.resize(count, static_cast<int16_t>(start));
  } else {
    sums32_.resize(count, start);
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
    PackSums(sums.data(), sums.size(), bias(), grid_.bits, BytesOf(target));
  });
}

void LevelSums::Codes(std::span<uint8_t> target) const {
  TERSE_CHECK(target.size() == sums8_.size());
  for (size_t i = 0; i < target.size(); ++i) {
    target[i] = static_cast<uint8_t>(sums8_[i] + static_cast<int>(bias()));
  }
}

void LevelSums::Scale(float step, std::span<float> target) const {
  WithSums(*this, [&](auto sums) {
    TERSE_CHECK(target.size() == sums.size());
    ScaleSums(sums.data(), sums.size(),
              static_cast<float>(bias()) - grid_.middle, step, target.data());
  });
}

}  // namespace terse
