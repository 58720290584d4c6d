#include "absl/strings/str_cat.h"
#include "common/base/limits.h"
#include "common/base/status.h"
#include "common/quantize/binary.h"
#include "common/quantize/dorefa.h"
#include "common/quantize/piecewise.h"
#include "common/quantize/scaled.h"
#include "common/quantize/term.h"
#include "common/quantize/ternary.h"
#include "common/quantize/weight_quantizer.h"

namespace terse {
namespace {

absl::Status CheckBits(const WeightQuantization& options, uint32_t min,
                       uint32_t max = 8) {
  if (min <= options.bits() && options.bits() <= max) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("bits of weights is ", options.bits(), "; give ", min,
                   " to ", max, " for this kind"));
}

absl::Status CheckRows(size_t row_elements) {
  if (row_elements == 0) {
    return absl::InvalidArgumentError(
        "this kind works by rows and needs a tensor of rows");
  }
  if (row_elements <= kBlockElementsMax) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "a scale per row needs rows of at most ", kBlockElementsMax,
      " weights, not ", row_elements, "; choose another kind for this layer"));
}

}  // namespace

absl::StatusOr<std::unique_ptr<WeightQuantizer>> MakeWeightQuantizer(
    const WeightQuantization& options, size_t row_elements) {
  const int bits = static_cast<int>(options.bits());
  switch (options.kind()) {
    case WeightQuantization::NONE:
      return nullptr;
    case WeightQuantization::BINARYCONNECT:
      return MakeBinaryConnect(/*stochastic=*/false);
    case WeightQuantization::BINARYCONNECT_STOCHASTIC:
      return MakeBinaryConnect(/*stochastic=*/true);
    case WeightQuantization::DOREFA:
      TERSE_RETURN_IF_ERROR(CheckBits(options, 1));
      return bits == 1 ? MakeDorefaBinary() : MakeDorefa(bits);
    case WeightQuantization::BWN:
      TERSE_RETURN_IF_ERROR(CheckRows(row_elements));
      return MakeBwn(row_elements, options.paper_gradient());
    case WeightQuantization::TWN:
      TERSE_RETURN_IF_ERROR(CheckRows(row_elements));
      return MakeTwn(row_elements);
    case WeightQuantization::UNIFORM:
      TERSE_RETURN_IF_ERROR(CheckBits(options, 2));
      return MakeUniform(bits, options.max());
    case WeightQuantization::LOGARITHMIC:
      TERSE_RETURN_IF_ERROR(CheckBits(options, 2));
      return MakeLogarithmic(bits);
    case WeightQuantization::BALANCED:
      TERSE_RETURN_IF_ERROR(CheckBits(options, 1));
      return MakeBalanced(bits, options.balance());
    case WeightQuantization::TERM:
      TERSE_RETURN_IF_ERROR(CheckBits(options, 2));
      if (row_elements == 0) return CheckRows(row_elements);
      return MakeTerm(bits, options.group(), options.terms(), row_elements);
    case WeightQuantization::FLEXPOINT:
      TERSE_RETURN_IF_ERROR(CheckBits(options, 2));
      return MakeFlexpoint(bits);
    case WeightQuantization::PWLQ:
      TERSE_RETURN_IF_ERROR(CheckBits(options, 2, 7));
      return MakePiecewise(bits);
    case WeightQuantization::TTQ:
      return MakeTtq(options.threshold());
  }
  return absl::InvalidArgumentError(
      absl::StrCat("unknown weight quantization ", options.kind()));
}

}  // namespace terse
