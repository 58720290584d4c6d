// Reads, checks, overrides and prints job files.
#ifndef TERSE_COMMON_CONFIG_JOB_H_
#define TERSE_COMMON_CONFIG_JOB_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "proto/job.pb.h"

namespace terse {

// Reads `path`, applies `overrides` ("a.b=c", c in YAML; lists by index:
// "model.layers.0.conv.filters=8") in order, checks the result.
// Errors (exit code 78; 66 for a missing file): one line that says what, where
// ("job.yaml:12:5: compress.gradiant: ...") and the nearest valid name.
absl::StatusOr<Job> ReadJobFile(const std::string& path,
                                const std::vector<std::string>& overrides);

// The same on text; `source` names it in errors.
absl::StatusOr<Job> ParseJob(std::string_view yaml, const std::string& source,
                             const std::vector<std::string>& overrides);

// The whole job with every default, as YAML that ParseJob reads back equal.
std::string PrintJob(const Job& job);

// Servers of the job: as many as workers where they are colocated.
inline uint32_t ServerCount(const Job& job) {
  return job.cluster().servers() == 0 ? job.cluster().workers()
                                      : job.cluster().servers();
}

// Whether a worker's process carries a server too.
inline bool IsColocated(const Job& job) { return job.cluster().servers() == 0; }

// Processes that the job is made of.
inline uint32_t ProcessCount(const Job& job) {
  return job.cluster().workers() + job.cluster().servers();
}

// Whether the gradient's codec is chosen by measuring.
inline bool IsAuto(const Job& job) {
  return job.compress().gradient().kind() == GradientCodec::FASTEST;
}

// The codec of parameters that no rule matches: of `gradient: auto` the last
// choice, and before the first none.
inline const GradientCodec& GradientOf(const Job& job) {
  const auto& choices = job.compress().auto_().choices();
  if (!IsAuto(job)) return job.compress().gradient();
  return choices.empty() ? GradientCodec::default_instance()
                         : choices.rbegin()->gradient();
}

// A codec from a command line: "qsgd:levels=7,bucket=512".
absl::StatusOr<GradientCodec> ParseCodec(std::string_view text);

// The same text of a codec: its kind and what differs from the defaults. Of
// `values` the kind alone.
std::string PrintCodec(const GradientCodec& codec);

}  // namespace terse

#endif  // TERSE_COMMON_CONFIG_JOB_H_
