// Reads, checks, overrides and prints job files.
#ifndef TERSE_COMMON_CONFIG_JOB_H_
#define TERSE_COMMON_CONFIG_JOB_H_

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

// A codec from a command line: "qsgd:levels=7,bucket=512".
absl::StatusOr<GradientCodec> ParseCodec(std::string_view text);

}  // namespace terse

#endif  // TERSE_COMMON_CONFIG_JOB_H_
