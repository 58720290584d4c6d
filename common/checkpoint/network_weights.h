// The network that a checkpoint holds, as it is tested and used: quantized
// weights where the method tests with them, batch-norm statistics averaged over
// the workers.
#ifndef TERSE_COMMON_CHECKPOINT_NETWORK_WEIGHTS_H_
#define TERSE_COMMON_CHECKPOINT_NETWORK_WEIGHTS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/checkpoint/saved_state.h"
#include "common/plan/plan.h"

namespace terse {

// What tensor `tensor` has at test time: of a quantized weight what its codes
// say, unless its paper tests with the shadow weights; of a buffer the mean
// over the workers that wrote the checkpoint, in their order.
// Errors: those of SavedState::Read; InvalidArgument of the quantizer.
absl::StatusOr<std::vector<float>> NetworkWeights(const Job& job,
                                                  const Plan& plan,
                                                  const SavedState& saved,
                                                  uint32_t tensor);

// Values as indices into tables of the values that occur: exact, whatever made
// them. Group g is the g-th run of count / groups values; its table is
// values[g << bits, (g + 1) << bits), of which what no code names is 0. Code i
// is bits [i * bits, (i + 1) * bits) of `codes`, bit 0 the lowest of byte 0.
struct PackedValues {
  uint32_t bits = 0;  // 0: fewer bytes as they are; nothing else is set then.
  uint64_t groups = 1;
  std::vector<float> tables;
  std::vector<uint8_t> codes;
};

// One table for all or, where that is shorter, one for each of `rows` runs.
// Requires: rows divides values.size().
PackedValues PackValues(std::span<const float> values, uint64_t rows);

}  // namespace terse

#endif  // TERSE_COMMON_CHECKPOINT_NETWORK_WEIGHTS_H_
