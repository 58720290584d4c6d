// What a job is, as text for people and JSON for programs: `terse inspect` and
// `--dry-run`. Lines of the texts fit into 100 columns.
#ifndef TERSE_DEPLOY_LAUNCH_INSPECT_H_
#define TERSE_DEPLOY_LAUNCH_INSPECT_H_

#include <string>

#include "common/plan/plan.h"
#include "proto/job.pb.h"

namespace terse {

// The parameters (name, shape, count, size, share, quantizer, codec, bits up
// and down) and the layers (sizes, multiply-adds).
// Requires: plan is MakePlan(job), here and below.
std::string InspectText(const Job& job, const Plan& plan);
std::string InspectJson(const Job& job, const Plan& plan);

// What a run will do: where each tensor lies and how it travels, bytes for a
// step, memory of servers and workers.
std::string PlanText(const Job& job, const Plan& plan);
std::string PlanJson(const Job& job, const Plan& plan);

}  // namespace terse

#endif  // TERSE_DEPLOY_LAUNCH_INSPECT_H_
