#include "common/codec/shared_levels_codec.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "common/base/status.h"
#include "common/codec/payload.h"
#include "common/kernels/level_sum.h"
#include "common/kernels/moments.h"

namespace terse {
namespace {

constexpr size_t kNormBytes = sizeof(float);

BlockMoments Measure(const LevelGrid& grid, std::span<const float> values,
                     float* residual) {
  if (grid.norm == LevelNorm::kL2) {
    return AddMoments(values.data(), values.size(), residual);
  }
  if (grid.norm == LevelNorm::kMeanMagnitude) {
    return AddAbsoluteSum(values.data(), values.size(), residual);
  }
  BlockMoments moments;
  moments.max_abs_bits = AddMaxAbs(values.data(), values.size(), residual);
  return moments;
}

// Clips to -norm..norm what `values` are to be encoded as (the residual, if
// there is one); `excess` gets what the residual loses by it.
std::span<const float> Clip(std::span<const float> values, float norm,
                            std::span<float> residual,
                            std::vector<float>& clipped,
                            std::vector<float>& excess) {
  const size_t count = values.size();
  if (residual.empty()) {
    clipped.resize(count);
    for (size_t i = 0; i < count; ++i) {
      clipped[i] = std::clamp(values[i], -norm, norm);
    }
    return clipped;
  }
  excess.resize(count);
  for (size_t i = 0; i < count; ++i) {
    const float x = std::clamp(residual[i], -norm, norm);
    excess[i] = residual[i] - x;
    residual[i] = x;
  }
  return values;
}

}  // namespace

SharedLevelsCodec::SharedLevelsCodec(std::unique_ptr<LevelsCodec> own,
                                     const SumOptions& sums)
    : LevelCodec(sums), own_(std::move(own)) {
  TERSE_CHECK(own_->grid().bucket == SIZE_MAX);
}

std::string SharedLevelsCodec::Describe() const {
  std::string text = own_->Describe() + DescribeSums();
  // Of a codec without options the first one follows a colon.
  if (const size_t comma = text.find(','); text.find(':') > comma) {
    text[comma] = ':';
  }
  return text;
}

absl::StatusOr<size_t> SharedLevelsCodec::EncodeShared(
    std::span<const float> values, const EncodeArgs& args, float scale,
    std::span<std::byte> target) const {
  const size_t count = values.size();
  TERSE_CHECK(target.size() >= MaxEncodedBytes(count));
  if (count == 0) return size_t{0};
  float* const residual = ResidualOf(args.residual);
  const BlockMoments moments = Measure(own_->grid(), values, residual);
  if (!moments.finite()) return NonFiniteError(values);
  const float own_norm = MakeLevelScale(own_->grid(), moments, count).norm;

  LevelGrid grid = own_->grid();
  grid.norm = LevelNorm::kGiven;
  grid.given_norm = scale * (static_cast<float>(grid.top) / 2);
  // What rounds at random takes no magnitude beyond the norm.
  const bool clip = grid.stochastic && moments.max_abs() > grid.given_norm;
  thread_local std::vector<float> clipped, excess;
  if (clip) {
    values = Clip(values, grid.given_norm, args.residual, clipped, excess);
  }
  uint8_t* const bytes = BytesOf(target);
  EncodeLevels(grid, values.data(), count, args.key, args.first_index, residual,
               bytes, bytes + kNormBytes);
  WriteFloat(own_norm, bytes);
  if (clip && residual != nullptr) {
    for (size_t i = 0; i < count; ++i) residual[i] += excess[i];
  }
  return MaxEncodedBytes(count);
}

float SharedLevelsCodec::OwnScale(std::span<const std::byte> source) const {
  if (source.empty()) return 0;
  return LevelStep(own_->grid(), ReadFloat(BytesOf(source)));
}

void SharedLevelsCodec::AddLevels(std::span<const std::byte> source,
                                  std::span<int8_t> sums) const {
  if (sums.empty()) return;
  AddCodes(BytesOf(source) + kNormBytes, sums.size(), own_->grid().code_bits,
           Top() / 2, sums.data());
}
void SharedLevelsCodec::AddLevels(std::span<const std::byte> source,
                                  std::span<int16_t> sums) const {
  if (sums.empty()) return;
  AddCodes(BytesOf(source) + kNormBytes, sums.size(), own_->grid().code_bits,
           Top() / 2, sums.data());
}
void SharedLevelsCodec::AddLevels(std::span<const std::byte> source,
                                  std::span<int32_t> sums) const {
  if (sums.empty()) return;
  AddCodes(BytesOf(source) + kNormBytes, sums.size(), own_->grid().code_bits,
           Top() / 2, sums.data());
}

}  // namespace terse
