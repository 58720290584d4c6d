// The accuracy of the network that a checkpoint holds.
#ifndef TERSE_WORKER_EVALUATE_H_
#define TERSE_WORKER_EVALUATE_H_

#include "absl/status/statusor.h"
#include "common/checkpoint/checkpoint.h"
#include "nlohmann/json.hpp"
#include "worker/session.h"

namespace terse {

// Tests the network on the whole test set: "step", "test_samples", "test_loss",
// "test_accuracy". The same figures as the job's own evaluation of that
// version. Errors: as ParseJob, SavedState::Open, NetworkWeights and
// `make_model`.
absl::StatusOr<nlohmann::json> EvaluateCheckpoint(
    const FoundCheckpoint& checkpoint, const ModelFactory& make_model);

}  // namespace terse

#endif  // TERSE_WORKER_EVALUATE_H_
