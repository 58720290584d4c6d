#include "absl/strings/str_cat.h"
#include "common/quantize/binary.h"
#include "common/quantize/dorefa.h"
#include "common/quantize/scaled.h"
#include "common/quantize/ternary.h"
#include "common/quantize/weight_quantizer.h"

namespace terse {
namespace {

using Made = absl::StatusOr<std::unique_ptr<WeightQuantizer>>;

Made WithBits(const WeightQuantization& options, uint32_t min,
              std::unique_ptr<WeightQuantizer> (*make)(int bits)) {
  if (min <= options.bits() && options.bits() <= 8) {
    return make(static_cast<int>(options.bits()));
  }
  return absl::InvalidArgumentError(absl::StrCat("bits of weights is ",
                                                 options.bits(), "; give ", min,
                                                 " to 8 for this kind"));
}

Made WithRows(size_t row_elements,
              std::unique_ptr<WeightQuantizer> (*make)(size_t row_elements)) {
  if (row_elements > 0) return make(row_elements);
  return absl::InvalidArgumentError(
      "a quantizer with a scale per row needs a tensor of rows");
}

std::unique_ptr<WeightQuantizer> MakeAnyDorefa(int bits) {
  return bits == 1 ? MakeDorefaBinary() : MakeDorefa(bits);
}

}  // namespace

absl::StatusOr<std::unique_ptr<WeightQuantizer>> MakeWeightQuantizer(
    const WeightQuantization& options, size_t row_elements) {
  switch (options.kind()) {
    case WeightQuantization::NONE:
      return nullptr;
    case WeightQuantization::BINARYCONNECT:
      return MakeBinaryConnect(/*stochastic=*/false);
    case WeightQuantization::BINARYCONNECT_STOCHASTIC:
      return MakeBinaryConnect(/*stochastic=*/true);
    case WeightQuantization::DOREFA:
      return WithBits(options, 1, MakeAnyDorefa);
    case WeightQuantization::BWN:
      return WithRows(row_elements, MakeBwn);
    case WeightQuantization::TWN:
      return WithRows(row_elements, MakeTwn);
    case WeightQuantization::UNIFORM:
      return WithBits(options, 2, MakeUniform);
    case WeightQuantization::LOGARITHMIC:
      return WithBits(options, 2, MakeLogarithmic);
    case WeightQuantization::BALANCED:
      return WithBits(options, 1, MakeBalanced);
  }
  return absl::InvalidArgumentError(
      absl::StrCat("unknown weight quantization ", options.kind()));
}

}  // namespace terse
