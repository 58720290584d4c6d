// What comes down for a full-precision block in place of its weights: what the
// workers' gradients add up to, as the server added them, so that server and
// worker apply the same mean to bit-identical replicas. Bytes: FORMAT.md.
#ifndef TERSE_COMMON_CODEC_GRADIENT_SUM_H_
#define TERSE_COMMON_CODEC_GRADIENT_SUM_H_

#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "common/base/buffer.h"
#include "common/codec/codec.h"
#include "common/codec/level_codec.h"
#include "common/codec/level_sums.h"
#include "common/codec/low_rank.h"

namespace terse {

// A worker's part of a block's gradient.
struct Contribution {
  Buffer payload;     // Valid for the codec.
  double weight = 0;  // Its share of the mean.
};

// What both ends know of a block.
struct SumContext {
  const Codec& codec;
  const LevelCodec* level_codec = nullptr;  // Not null: of shared scale.
  uint32_t workers = 1;
  size_t count = 0;  // Elements of the block.
  LowRank low_rank = {};
  // The left factor, for DecodeSum; it came before the sum.
  std::span<const float> basis = {};
};

// The step between level sums in the mean: scale / workers.
float MeanStep(float scale, uint32_t workers);

// Adds the contributions in their order; what `mean` held is overwritten.
void AddContributions(const Codec& codec,
                      std::span<const Contribution> contributions,
                      std::span<float> mean);

// The mean of integer sums of levels of `scale`: their sign where the codec
// votes.
void MeanOfLevels(const SumContext& context, const LevelSums& sums, float scale,
                  std::span<float> mean);

// The message of integer sums of levels of `scale`.
Buffer EncodeLevelSum(const SumContext& context, const LevelSums& sums,
                      float scale);

// The message of any other mean: the shortest of all floats, the floats that
// are not zero, and the contributions it was added from.
Buffer EncodeMean(const SumContext& context,
                  std::span<const Contribution> contributions,
                  std::span<const float> mean);

// The message of the product of a basis and this right factor.
Buffer EncodeFactorSum(std::span<const float> right);

// The right factor of a valid message of one.
std::vector<float> SumRightFactor(std::span<const std::byte> message);

// Completes a message: the factor that clipping by global norm gives the mean
// and, of a shared scale, the one of the next step (else 0).
// Requires: `message` was made by one of the above and is not shared yet.
void FinishSum(float factor, float next_scale, Buffer& message);

// Of a valid message.
float SumFactor(std::span<const std::byte> message);
float SumNextScale(std::span<const std::byte> message);

// Checks a message whose levels, where it has some, must be of `agreed_scale`.
// Errors: DataLoss (form, lengths, symbols, another scale), InvalidArgument (a
// number that is not finite or not in its range).
absl::Status ValidateSum(const SumContext& context, float agreed_scale,
                         std::span<const std::byte> message);

// Writes the mean, without the factor.
// Requires: `message` is valid; mean.size() == context.count.
void DecodeSum(const SumContext& context, std::span<const std::byte> message,
               std::span<float> mean);

// Bytes to expect for typical gradients; for plans.
size_t TypicalSumBytes(const SumContext& context);

}  // namespace terse

#endif  // TERSE_COMMON_CODEC_GRADIENT_SUM_H_
