#include "absl/strings/str_cat.h"
#include "common/quantize/binary.h"
#include "common/quantize/dorefa.h"
#include "common/quantize/weight_quantizer.h"

namespace terse {
namespace {

absl::Status CheckBits(const WeightQuantization& options, uint32_t min) {
  if (min <= options.bits() && options.bits() <= 8) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "bits of weights is ", options.bits(), "; give ", min, " to 8"));
}

}  // namespace

absl::StatusOr<std::unique_ptr<WeightQuantizer>> MakeWeightQuantizer(
    const WeightQuantization& options, size_t row_elements) {
  static_cast<void>(row_elements);
  switch (options.kind()) {
    case WeightQuantization::NONE:
      return nullptr;
    case WeightQuantization::BINARYCONNECT:
      return MakeBinaryConnect(/*stochastic=*/false);
    case WeightQuantization::BINARYCONNECT_STOCHASTIC:
      return MakeBinaryConnect(/*stochastic=*/true);
    case WeightQuantization::DOREFA:
      if (absl::Status status = CheckBits(options, 1); !status.ok()) {
        return status;
      }
      if (options.bits() == 1) return MakeDorefaBinary();
      return MakeDorefa(static_cast<int>(options.bits()));
  }
  return absl::InvalidArgumentError(
      absl::StrCat("unknown weight quantization ", options.kind()));
}

}  // namespace terse
