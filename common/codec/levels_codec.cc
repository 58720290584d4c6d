#include "common/codec/levels_codec.h"

#include <cmath>

#include "absl/strings/str_cat.h"
#include "common/base/limits.h"
#include "common/base/status.h"
#include "common/codec/payload.h"
#include "common/kernels/pack.h"

namespace terse {

std::unique_ptr<LevelsCodec> LevelsCodec::Qsgd(uint32_t levels, size_t bucket,
                                               LevelNorm norm) {
  const LevelGrid grid{.top = 2 * levels,
                       .code_bits = CodeBits(2 * levels),
                       .norm = norm,
                       .stochastic = true,
                       .bucket = bucket};
  return std::unique_ptr<LevelsCodec>(new LevelsCodec(
      "qsgd",
      absl::StrCat(":levels=", levels,
                   bucket == SIZE_MAX ? "" : absl::StrCat(",bucket=", bucket),
                   ",norm=", norm == LevelNorm::kL2 ? "l2" : "max"),
      grid));
}

std::unique_ptr<LevelsCodec> LevelsCodec::Dorefa(uint32_t bits) {
  const LevelGrid grid{.top = (1u << bits) - 1,
                       .code_bits = bits,
                       .norm = LevelNorm::kMax,
                       .stochastic = true,
                       .bucket = SIZE_MAX};
  return std::unique_ptr<LevelsCodec>(
      new LevelsCodec("dorefa", absl::StrCat(":bits=", bits), grid));
}

std::unique_ptr<LevelsCodec> LevelsCodec::Uniform(uint32_t bits,
                                                  bool stochastic) {
  const LevelGrid grid{.top = (1u << bits) - 2,
                       .code_bits = bits,
                       .norm = LevelNorm::kMax,
                       .stochastic = stochastic,
                       .bucket = SIZE_MAX};
  return std::unique_ptr<LevelsCodec>(new LevelsCodec(
      "uniform",
      absl::StrCat(":bits=", bits,
                   ",stochastic=", stochastic ? "true" : "false"),
      grid));
}

std::unique_ptr<LevelsCodec> LevelsCodec::BlockFloat(uint32_t bits) {
  const LevelGrid grid{.top = (1u << bits) - 2,
                       .code_bits = bits,
                       .norm = LevelNorm::kPowerOfTwo,
                       .stochastic = false,
                       .bucket = SIZE_MAX};
  return std::unique_ptr<LevelsCodec>(
      new LevelsCodec("blockfloat", absl::StrCat(":bits=", bits), grid));
}

std::unique_ptr<LevelsCodec> LevelsCodec::Sign() {
  const LevelGrid grid{.top = 1,
                       .code_bits = 1,
                       .norm = LevelNorm::kMeanMagnitude,
                       .stochastic = false,
                       .bucket = SIZE_MAX};
  return std::unique_ptr<LevelsCodec>(new LevelsCodec("sign", "", grid));
}

size_t LevelsCodec::MaxEncodedBytes(size_t count) const {
  return grid_.Buckets(count) * sizeof(float) +
         PackedCodeBytes(count, grid_.code_bits);
}

size_t LevelsCodec::TypicalEncodedBytes(size_t count) const {
  return MaxEncodedBytes(count);
}

absl::StatusOr<size_t> LevelsCodec::Encode(std::span<const float> values,
                                           const EncodeArgs& args,
                                           std::span<std::byte> target) const {
  const size_t count = values.size();
  TERSE_CHECK(target.size() >= MaxEncodedBytes(count));
  uint8_t* const norms = BytesOf(target);
  if (!EncodeLevels(grid_, values.data(), count, args.key, args.first_index,
                    ResidualOf(args.residual), norms,
                    norms + grid_.Buckets(count) * sizeof(float))) {
    return NonFiniteError(values);
  }
  return MaxEncodedBytes(count);
}

absl::Status LevelsCodec::Validate(std::span<const std::byte> source,
                                   size_t count) const {
  TERSE_RETURN_IF_ERROR(
      CheckSize(name_, source.size(), MaxEncodedBytes(count)));
  const size_t buckets = grid_.Buckets(count);
  TERSE_RETURN_IF_ERROR(CheckScales(name_, BytesOf(source), buckets));
  for (size_t b = 0; b < buckets; ++b) {
    const float norm = ReadFloat(BytesOf(source) + b * sizeof(float));
    const float middle = static_cast<float>(grid_.top) / 2;
    if (!std::isfinite(middle * LevelStep(grid_, norm))) {
      return absl::InvalidArgumentError(absl::StrCat(
          name_, " payload: norm ", b, " is ", norm, ", which overflows"));
    }
  }
  const uint8_t* const packed = BytesOf(source) + buckets * sizeof(float);
  if (grid_.top != (1u << grid_.code_bits) - 1) {
    const uint32_t max = MaxCode(packed, count, grid_.code_bits);
    if (max > grid_.top) {
      return absl::DataLossError(
          absl::StrCat(name_, " payload: code ", max, " is above ", grid_.top));
    }
  }
  const size_t last_bits = count % kPackGroup * grid_.code_bits % 8;
  if (last_bits != 0 && BytesOf(source)[source.size() - 1] >> last_bits != 0) {
    return PaddingError(name_);
  }
  return absl::OkStatus();
}

void LevelsCodec::DecodeAdd(std::span<const std::byte> source, float weight,
                            std::span<float> target) const {
  const uint8_t* const norms = BytesOf(source);
  DecodeAddLevels(grid_, norms,
                  norms + grid_.Buckets(target.size()) * sizeof(float),
                  target.size(), weight, target.data());
}

}  // namespace terse
