// A codec whose values are whole numbers of steps of a scale that all workers
// share, so that a server adds them as integers (TernGrad's scaler sharing, Wen
// et al., arXiv 1705.07878, section 3). The scale of a block is given by the
// job, or agreed one step ahead: every payload carries the scale its worker
// would have taken itself, and the largest of a step, rounded by AgreedScale,
// is that of the next step. The first step, for which nothing is agreed, goes
// with Codec::Encode, whose payloads look the same and carry the scale they
// were made with.
#ifndef TERSE_COMMON_CODEC_LEVEL_CODEC_H_
#define TERSE_COMMON_CODEC_LEVEL_CODEC_H_

#include <algorithm>
#include <bit>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/codec/codec.h"
#include "common/codec/rans.h"

namespace terse {

struct SumOptions {
  // The scale, from the first step on; none: agreed.
  std::optional<float> given_scale;
  // The mean is the sign of the sum.
  bool votes = false;
  // Of the sums that come down.
  EntropyCoding coding = EntropyCoding::kNever;
};

class LevelCodec : public Codec {
 public:
  explicit LevelCodec(const SumOptions& options) : options_(options) {}

  const SumOptions& sum_options() const { return options_; }

  // Codes are 0..Top(); code c stands for (c - Top() / 2) times the scale.
  virtual uint32_t Top() const = 0;

  // As Encode, with levels of `scale`. Values beyond Top() / 2 * scale become
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

  // sums[i] += code_i - Top() / 2, rounded down.
  // Requires: no sum leaves the range of its type.
  virtual void AddLevels(std::span<const std::byte> source,
                         std::span<int8_t> sums) const = 0;
  virtual void AddLevels(std::span<const std::byte> source,
                         std::span<int16_t> sums) const = 0;
  virtual void AddLevels(std::span<const std::byte> source,
                         std::span<int32_t> sums) const = 0;

 protected:
  // What Describe ends with.
  std::string DescribeSums() const {
    return absl::StrCat(
        options_.given_scale ? ",scale=given" : ",scale=shared",
        options_.coding == EntropyCoding::kNever
            ? ""
            : absl::StrCat(",coding=", NameOf(options_.coding)));
  }

 private:
  SumOptions options_;
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
