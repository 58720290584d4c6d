// The rules of a job that no single field can state.
#ifndef TERSE_COMMON_CONFIG_CHECK_H_
#define TERSE_COMMON_CONFIG_CHECK_H_

#include <functional>
#include <string_view>

#include "absl/status/status.h"
#include "proto/job.pb.h"

namespace terse {

// Makes the error for the key at a path ("train.epochs"; "" is the job).
using ErrorAtPath =
    std::function<absl::Status(std::string_view path, std::string_view text)>;

absl::Status CheckJob(const Job& job, const ErrorAtPath& error_at);

}  // namespace terse

#endif  // TERSE_COMMON_CONFIG_CHECK_H_
