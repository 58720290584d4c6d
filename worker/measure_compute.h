// How long forward and backward of a worker's mini-batch take.
#ifndef TERSE_WORKER_MEASURE_COMPUTE_H_
#define TERSE_WORKER_MEASURE_COMPUTE_H_

#include "absl/status/statusor.h"
#include "common/cost/cost_model.h"
#include "common/plan/plan.h"
#include "worker/model.h"

namespace terse {

// The least of some steps from the job's first weights, in about half a second.
// The network means nothing afterwards.
// Errors: as NetworkModel::ComputeGradient.
absl::StatusOr<ComputeTime> MeasureCompute(const Job& job, const Plan& plan,
                                           NetworkModel& model);

}  // namespace terse

#endif  // TERSE_WORKER_MEASURE_COMPUTE_H_
