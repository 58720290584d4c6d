#include "common/codec/factory.h"

#include <functional>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/limits.h"
#include "common/base/status.h"
#include "common/codec/dense_codec.h"
#include "common/codec/elias_codec.h"
#include "common/codec/entropy_codec.h"
#include "common/codec/kept_values.h"
#include "common/codec/levels_codec.h"
#include "common/codec/natural_codec.h"
#include "common/codec/one_bit_codec.h"
#include "common/codec/propagating_codec.h"
#include "common/codec/shared_levels_codec.h"
#include "common/codec/shared_ternary_codec.h"
#include "common/codec/sparse_codec.h"
#include "common/codec/term_codec.h"
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

EntropyCoding EntropyCodingOf(const GradientCodec& options) {
  switch (options.coding()) {
    case GradientCodec::ENTROPY:
      return EntropyCoding::kWhereSmaller;
    case GradientCodec::AUTO:
      return EntropyCoding::kWhereWorthIt;
    default:
      return EntropyCoding::kNever;
  }
}

// How workers' levels are added up; none if scales are their own.
absl::StatusOr<std::optional<SumOptions>> SumsOf(const GradientCodec& options,
                                                 uint32_t top) {
  SumOptions sums = {.coding = EntropyCodingOf(options)};
  switch (options.scale()) {
    case GradientCodec::OWN:
      return std::nullopt;
    case GradientCodec::SHARED:
      return sums;
    default:
      TERSE_RETURN_IF_ERROR(
          CheckRange("scale_max", options.scale_max(), 1e-20, 1e20));
      // Of few bits, so that its multiples are exact.
      sums.given_scale =
          AgreedScale(options.scale_max() / (static_cast<float>(top) / 2));
      return sums;
  }
}

// With the workers' own scales, or with one they share.
absl::StatusOr<std::unique_ptr<Codec>> OwnOrShared(
    const GradientCodec& options, std::unique_ptr<LevelsCodec> own) {
  TERSE_ASSIGN_OR_RETURN(const std::optional<SumOptions> sums,
                         SumsOf(options, own->grid().top));
  if (!sums) return own;
  return std::make_unique<SharedLevelsCodec>(std::move(own), *sums);
}

absl::StatusOr<std::unique_ptr<Codec>> MakeTernGrad(
    const GradientCodec& options) {
  TERSE_RETURN_IF_ERROR(
      CheckRange("clip_sigmas", options.clip_sigmas(), 0, 1000));
  const bool per_tensor = options.per() == GradientCodec::TENSOR;
  TERSE_ASSIGN_OR_RETURN(const std::optional<SumOptions> sums,
                         SumsOf(options, 2));
  if (!sums) {
    return std::make_unique<TernGradCodec>(options.clip_sigmas(), per_tensor);
  }
  return std::make_unique<SharedTernaryCodec>(options.clip_sigmas(), per_tensor,
                                              *sums);
}

absl::StatusOr<std::unique_ptr<Codec>> MakeQsgd(const GradientCodec& options) {
  TERSE_RETURN_IF_ERROR(CheckRange("levels", options.levels(), 1, 32767));
  TERSE_RETURN_IF_ERROR(CheckRange("bucket", options.bucket(), 1, 262144));
  const bool own = options.scale() == GradientCodec::OWN;
  std::unique_ptr<LevelsCodec> codec = LevelsCodec::Qsgd(
      options.levels(), own ? options.bucket() : SIZE_MAX,
      options.norm() == GradientCodec::L2 ? LevelNorm::kL2 : LevelNorm::kMax);
  if (options.coding() != GradientCodec::ELIAS) {
    return OwnOrShared(options, std::move(codec));
  }
  if (!own) {
    return absl::InvalidArgumentError(
        "gradient codec: coding: elias goes with scale: own only");
  }
  return std::make_unique<EliasCodec>(std::move(codec));
}

// A vote has no size that an error could be measured by.
absl::StatusOr<std::unique_ptr<Codec>> MakeMajority(
    const GradientCodec& options) {
  if (options.error_feedback()) {
    return absl::InvalidArgumentError(
        "gradient codec: majority has no error feedback; use sign");
  }
  // Levels -1 and 1.
  return std::make_unique<SharedLevelsCodec>(
      LevelsCodec::Sign(), SumOptions{.given_scale = 2.0f, .votes = true});
}

absl::StatusOr<std::unique_ptr<Codec>> MakeTerm(const GradientCodec& options) {
  TERSE_RETURN_IF_ERROR(CheckRange("bits", options.bits(), 2, 16));
  TERSE_RETURN_IF_ERROR(CheckRange("group", options.group(), 1, 512));
  TERSE_RETURN_IF_ERROR(CheckRange("terms", options.terms(), 1, 8192));
  return std::make_unique<TermCodec>(options.bits(), options.group(),
                                     options.terms());
}

// What a sparse codec writes its values with.
absl::StatusOr<KeptValues> MakeKeptValues(const GradientCodec& options) {
  const ValueCodec& values = options.values();
  GradientCodec codec;
  // Kinds and options have the numbers of GradientCodec's.
  TERSE_CHECK(codec.ParseFromString(values.SerializeAsString()));
  TERSE_ASSIGN_OR_RETURN(std::unique_ptr<Codec> made, MakeCodec(codec));
  return KeptValues(std::move(made), values.coding() == GradientCodec::FIXED);
}

absl::StatusOr<std::unique_ptr<Codec>> MakeTopK(const GradientCodec& options) {
  TERSE_RETURN_IF_ERROR(CheckRange("ratio", options.ratio(), 0x1p-126, 1));
  for (float ratio : options.warmup_ratios()) {
    TERSE_RETURN_IF_ERROR(CheckRange("warmup_ratios", ratio, 0x1p-126, 1));
  }
  TERSE_ASSIGN_OR_RETURN(KeptValues values, MakeKeptValues(options));
  return std::make_unique<TopKCodec>(
      TopKCodec::Options{.ratio = options.ratio(),
                         .per_tensor = options.per() == GradientCodec::TENSOR,
                         .any_ratio = options.warmup_ratios_size() > 0},
      std::move(values));
}

absl::StatusOr<std::unique_ptr<Codec>> MakeRandomK(
    const GradientCodec& options) {
  TERSE_RETURN_IF_ERROR(CheckRange("ratio", options.ratio(), 0x1p-126, 1));
  if (options.rescale() && options.error_feedback()) {
    return absl::InvalidArgumentError(
        "gradient codec: rescale: true would multiply what error feedback "
        "keeps; leave it out");
  }
  const bool rescale =
      options.has_rescale() ? options.rescale() : !options.error_feedback();
  TERSE_ASSIGN_OR_RETURN(KeptValues values, MakeKeptValues(options));
  return std::make_unique<RandomKCodec>(options.ratio(), rescale,
                                        std::move(values));
}

absl::StatusOr<std::unique_ptr<Codec>> Make(const GradientCodec& options,
                                            const BlockRows& rows) {
  switch (options.kind()) {
    case GradientCodec::NONE:
      return std::make_unique<DenseCodec>(FloatFormat::kBinary32);
    case GradientCodec::FP16:
      return std::make_unique<DenseCodec>(FloatFormat::kBinary16);
    case GradientCodec::TERNGRAD:
      return MakeTernGrad(options);
    case GradientCodec::QSGD:
      return MakeQsgd(options);
    case GradientCodec::DOREFA:
      TERSE_RETURN_IF_ERROR(CheckRange("bits", options.bits(), 1, 16));
      return OwnOrShared(options, LevelsCodec::Dorefa(options.bits()));
    case GradientCodec::BF16:
      return std::make_unique<DenseCodec>(FloatFormat::kBfloat16);
    case GradientCodec::UNIFORM:
      TERSE_RETURN_IF_ERROR(CheckRange("bits", options.bits(), 2, 16));
      return OwnOrShared(
          options, LevelsCodec::Uniform(options.bits(), options.stochastic()));
    case GradientCodec::BLOCKFLOAT:
      TERSE_RETURN_IF_ERROR(CheckRange("bits", options.bits(), 2, 16));
      return OwnOrShared(options, LevelsCodec::BlockFloat(options.bits()));
    case GradientCodec::SIGN:
      return OwnOrShared(options, LevelsCodec::Sign());
    case GradientCodec::ONEBIT:
      TERSE_RETURN_IF_ERROR(CheckRange("bucket", options.bucket(), 1, 262144));
      return std::make_unique<OneBitCodec>(options.bucket());
    case GradientCodec::MAJORITY:
      return MakeMajority(options);
    case GradientCodec::TERM:
      return MakeTerm(options);
    case GradientCodec::NATURAL:
      return std::make_unique<NaturalCodec>();
    case GradientCodec::RANDOMK:
      return MakeRandomK(options);
    case GradientCodec::THRESHOLD: {
      TERSE_RETURN_IF_ERROR(
          CheckRange("threshold", options.threshold(), 0x1p-126, 1e30));
      TERSE_ASSIGN_OR_RETURN(KeptValues values, MakeKeptValues(options));
      return std::make_unique<ThresholdCodec>(options.threshold(),
                                              std::move(values));
    }
    case GradientCodec::TOPK:
      return MakeTopK(options);
    case GradientCodec::ROWS: {
      TERSE_ASSIGN_OR_RETURN(KeptValues values, MakeKeptValues(options));
      return std::make_unique<RowsCodec>(rows, std::move(values));
    }
    case GradientCodec::POWERSGD:
      return absl::InvalidArgumentError(
          "gradient codec: powersgd takes two exchanges with a server and has "
          "no payload of its own; it works in jobs alone");
    case GradientCodec::FASTEST:
      return absl::InvalidArgumentError(
          "gradient codec: auto chooses one of the others; it works in jobs "
          "alone");
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
  if (options.coding() == GradientCodec::ELIAS &&
      options.kind() != GradientCodec::QSGD) {
    return absl::InvalidArgumentError(
        "gradient codec: coding: elias goes with kind qsgd only");
  }
  const EntropyCoding coding = EntropyCodingOf(options);
  if (coding != EntropyCoding::kNever &&
      options.scale() == GradientCodec::OWN) {
    codec = std::make_unique<EntropyCodec>(std::move(codec), coding,
                                           ScaleBytes(options),
                                           TypicalEntropyRatio(options));
  }
  if (options.nan() == GradientCodec::PROPAGATE) {
    if (dynamic_cast<const LevelCodec*>(codec.get()) != nullptr) {
      return absl::InvalidArgumentError(
          "gradient codec: nan: propagate goes with scale: own only, sums of "
          "levels being whole numbers");
    }
    codec = std::make_unique<PropagatingCodec>(std::move(codec));
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
