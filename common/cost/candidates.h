// What `compress.gradient: auto` chooses from.
#ifndef TERSE_COMMON_COST_CANDIDATES_H_
#define TERSE_COMMON_COST_CANDIDATES_H_

#include <cstdint>
#include <vector>

#include "proto/job.pb.h"

namespace terse {

// What the job allows; or else none, fp16, and the published ternary,
// few-level, sparse and low-rank gradients.
std::vector<GradientCodec> Candidates(const Job& job);

// `job` with `gradient` for every parameter that no rule matches.
Job WithGradient(const Job& job, const GradientCodec& gradient);

// `job` with `gradient` as the choice from `step` on, and none after it.
Job WithChoice(const Job& job, uint64_t step, const GradientCodec& gradient);

// `job` without the choices of steps behind `step`.
Job WithChoicesUntil(const Job& job, uint64_t step);

}  // namespace terse

#endif  // TERSE_COMMON_COST_CANDIDATES_H_
