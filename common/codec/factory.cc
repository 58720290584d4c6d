#include "common/codec/factory.h"

#include <functional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/limits.h"
#include "common/base/status.h"
#include "common/codec/dense_codec.h"
#include "common/codec/entropy_codec.h"
#include "common/codec/levels_codec.h"
#include "common/codec/natural_codec.h"
#include "common/codec/shared_ternary_codec.h"
#include "common/codec/sparse_codec.h"
#include "common/codec/terngrad_codec.h"

namespace terse {
namespace {

// InvalidArgument unless min <= value <= max; a NaN is not.
absl::Status CheckRange(const char* option, double value, double min,
                        double max) {
  if (value >= min && value <= max) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("gradient codec: ", option, " is ", value, ", must be from ",
                   min, " to ", max));
}

absl::StatusOr<std::unique_ptr<Codec>> MakeQsgd(const GradientCodec& options) {
  TERSE_RETURN_IF_ERROR(CheckRange("levels", options.levels(), 1, 32767));
  TERSE_RETURN_IF_ERROR(CheckRange("bucket", options.bucket(), 1, 262144));
  return LevelsCodec::Qsgd(
      options.levels(), options.bucket(),
      options.norm() == GradientCodec::L2 ? LevelNorm::kL2 : LevelNorm::kMax);
}

absl::StatusOr<std::unique_ptr<Codec>> Make(const GradientCodec& options,
                                            const BlockRows& rows) {
  switch (options.kind()) {
    case GradientCodec::NONE:
      return std::make_unique<DenseCodec>(FloatFormat::kBinary32);
    case GradientCodec::FP16:
      return std::make_unique<DenseCodec>(FloatFormat::kBinary16);
    case GradientCodec::TERNGRAD:
      TERSE_RETURN_IF_ERROR(
          CheckRange("clip_sigmas", options.clip_sigmas(), 0, 1000));
      if (options.scale() == GradientCodec::SHARED) {
        if (options.coding() == GradientCodec::ENTROPY) {
          return absl::InvalidArgumentError(
              "gradient codec: coding: entropy goes with scale: own only");
        }
        return std::make_unique<SharedTernaryCodec>(options.clip_sigmas());
      }
      return std::make_unique<TernGradCodec>(options.clip_sigmas());
    case GradientCodec::QSGD:
      return MakeQsgd(options);
    case GradientCodec::DOREFA:
      TERSE_RETURN_IF_ERROR(CheckRange("bits", options.bits(), 1, 16));
      return LevelsCodec::Dorefa(options.bits());
    case GradientCodec::BF16:
      return std::make_unique<DenseCodec>(FloatFormat::kBfloat16);
    case GradientCodec::UNIFORM:
      TERSE_RETURN_IF_ERROR(CheckRange("bits", options.bits(), 2, 16));
      return LevelsCodec::Uniform(options.bits(), options.stochastic());
    case GradientCodec::BLOCKFLOAT:
      TERSE_RETURN_IF_ERROR(CheckRange("bits", options.bits(), 2, 16));
      return LevelsCodec::BlockFloat(options.bits());
    case GradientCodec::SIGN:
      return LevelsCodec::Sign();
    case GradientCodec::NATURAL:
      return std::make_unique<NaturalCodec>();
    case GradientCodec::RANDOMK:
      TERSE_RETURN_IF_ERROR(CheckRange("ratio", options.ratio(), 0x1p-126, 1));
      return std::make_unique<RandomKCodec>(options.ratio(), options.rescale());
    case GradientCodec::THRESHOLD:
      TERSE_RETURN_IF_ERROR(
          CheckRange("threshold", options.threshold(), 0x1p-126, 1e30));
      return std::make_unique<ThresholdCodec>(options.threshold());
    case GradientCodec::TOPK:
      TERSE_RETURN_IF_ERROR(CheckRange("ratio", options.ratio(), 0x1p-126, 1));
      return std::make_unique<TopKCodec>(options.ratio());
    case GradientCodec::ROWS:
      return std::make_unique<RowsCodec>(rows);
    case GradientCodec::POWERSGD:
      return absl::InvalidArgumentError(
          "gradient codec: powersgd takes two exchanges with a server and has "
          "no payload of its own; it works in jobs alone");
  }
  return absl::InvalidArgumentError(
      absl::StrCat("gradient codec: unknown kind ", int{options.kind()}));
}

// Bytes of scales in front of the codes.
std::function<size_t(size_t)> ScaleBytes(const GradientCodec& options) {
  switch (options.kind()) {
    case GradientCodec::NATURAL:
      return [](size_t) { return size_t{0}; };
    case GradientCodec::QSGD:
      return [bucket = size_t{options.bucket()}](size_t count) {
        return (count + bucket - 1) / bucket * sizeof(float);
      };
    default:
      return [](size_t count) { return count > 0 ? sizeof(float) : 0; };
  }
}

// What entropy coding leaves of the codes of Gaussian gradients, for plans.
double TypicalEntropyRatio(const GradientCodec& options) {
  switch (options.kind()) {
    case GradientCodec::TERNGRAD:
      return options.clip_sigmas() > 0 ? 0.77 : 0.5;
    case GradientCodec::QSGD:
      return options.norm() == GradientCodec::L2 ? 0.4 : 0.85;
    case GradientCodec::NATURAL:
      return 0.5;
    default:
      return 0.85;
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<Codec>> MakeCodec(const GradientCodec& options,
                                                 const BlockRows& rows) {
  TERSE_ASSIGN_OR_RETURN(std::unique_ptr<Codec> codec, Make(options, rows));
  if (options.coding() == GradientCodec::ENTROPY) {
    codec = std::make_unique<EntropyCodec>(
        std::move(codec), ScaleBytes(options), TypicalEntropyRatio(options));
  }
  const size_t bytes = codec->MaxEncodedBytes(kBlockElementsMax);
  if (bytes > kBlockPayloadBytesMax) {
    return absl::InvalidArgumentError(absl::StrCat(
        "gradient codec ", codec->Describe(), ": a block of ",
        kBlockElementsMax, " elements takes ", bytes,
        " bytes, more than as fp32; use larger buckets or `none`"));
  }
  return codec;
}

}  // namespace terse
