// A codec whose values are whole numbers of steps of a scale that all workers
// share, so that a server adds them as integers (TernGrad's scaler sharing, Wen
// et al., arXiv 1705.07878, section 3). The scale of a block is agreed one step
// ahead: every payload carries the scale its worker would have taken itself,
// and the largest of a step, rounded by AgreedScale, is that of the next step.
// The first step, for which nothing is agreed, goes with Codec::Encode, whose
// payloads look the same and carry the scale they were made with.
#ifndef TERSE_COMMON_CODEC_LEVEL_CODEC_H_
#define TERSE_COMMON_CODEC_LEVEL_CODEC_H_

#include <algorithm>
#include <bit>
#include <cstdint>
#include <span>

#include "common/codec/codec.h"

namespace terse {

class LevelCodec : public Codec {
 public:
  // Levels are -MaxLevel()..MaxLevel() times the scale.
  virtual uint32_t MaxLevel() const = 0;

  // As Encode, with levels of `scale`. Values beyond MaxLevel() * scale become
  // the outermost level; a scale of 0 makes all levels 0. Validate accepts what
  // it writes; DecodeAdd would take another scale.
  // Requires: scale is finite and not negative.
  virtual absl::StatusOr<size_t> EncodeShared(
      std::span<const float> values, const EncodeArgs& args, float scale,
      std::span<std::byte> target) const = 0;

  // The scale that the sender of a payload would have taken itself; +0 for no
  // elements.
  // Requires of this and the next: `source` is valid for as many elements.
  virtual float OwnScale(std::span<const std::byte> source) const = 0;

  // sums[i] += level_i.
  // Requires: no sum leaves the range of its type.
  virtual void AddLevels(std::span<const std::byte> source,
                         std::span<int8_t> sums) const = 0;
  virtual void AddLevels(std::span<const std::byte> source,
                         std::span<int16_t> sums) const = 0;
  virtual void AddLevels(std::span<const std::byte> source,
                         std::span<int32_t> sums) const = 0;
};

// `own_scale_max` rounded up to 8 significant bits (at most the largest finite
// number of so many): sums of up to 2^16 steps are exact in a float, whatever
// the order of adding.
// Requires: finite and not negative.
inline float AgreedScale(float own_scale_max) {
  constexpr uint32_t kDropped = 0xffff;
  constexpr uint32_t kLargest = 0x7f7f0000;
  const uint32_t bits = std::bit_cast<uint32_t>(own_scale_max);
  return std::bit_cast<float>(
      std::min((bits + kDropped) & ~kDropped, kLargest));
}

}  // namespace terse

#endif  // TERSE_COMMON_CODEC_LEVEL_CODEC_H_
