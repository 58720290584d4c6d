// Measures what a codec costs on this job's own tensors: the worker's and the
// server's own code, on some blocks of each kind of tensor.
#ifndef TERSE_WORKER_STEP_WORK_H_
#define TERSE_WORKER_STEP_WORK_H_

#include "absl/status/statusor.h"
#include "common/cost/cost_model.h"
#include "proto/job.pb.h"

namespace terse {

// Takes about a tenth of a second on one core, more for codecs that need whole
// tensors (powersgd, per: tensor). Gradients are Gaussian.
// Errors: InvalidArgument (exit code 78): the job cannot be planned.
absl::StatusOr<StepWork> MeasureStepWork(const Job& job);

}  // namespace terse

#endif  // TERSE_WORKER_STEP_WORK_H_
