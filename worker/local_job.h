// Runs a whole job, servers and workers, as threads of this process over memory
// links: the same state machines as the processes of a distributed job.
#ifndef TERSE_WORKER_LOCAL_JOB_H_
#define TERSE_WORKER_LOCAL_JOB_H_

#include <atomic>
#include <functional>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "common/checkpoint/checkpoint.h"
#include "nlohmann/json.hpp"
#include "worker/session.h"

namespace terse {

struct LocalJobOptions {
  // Called from the workers' threads, one at a time.
  ModelFactory make_model;
  std::function<void(const nlohmann::json&)> on_event;
  // Turns non-zero to stop the job; see RunEventLoop.
  const std::atomic<int>* stop = nullptr;
  // As in ServerOptions.
  std::string checkpoint_directory;
  std::optional<FoundCheckpoint> resume;
  // Of `compress.gradient: auto`; see SessionOptions.
  WorkMeter measure_work;
  // The job at the end, with every choice of a codec; null: not wanted.
  std::function<void(const Job&)> on_choice;
};

// The report of the job. Errors: the first that any role ended with.
absl::StatusOr<nlohmann::json> RunLocalJob(const Job& job,
                                           const LocalJobOptions& options);

}  // namespace terse

#endif  // TERSE_WORKER_LOCAL_JOB_H_
