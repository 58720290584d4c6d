// Where a coordinator's events go: the files of the run directory, the metrics,
// the board that the page shows.
#ifndef TERSE_COMMON_OBSERVE_JOB_OBSERVER_H_
#define TERSE_COMMON_OBSERVE_JOB_OBSERVER_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "common/observe/event_file.h"
#include "common/observe/prometheus/role_metrics.h"
#include "common/observe/status_board.h"
#include "common/wire/role_main.h"
#include "proto/job.pb.h"

namespace terse {

class JobObserver {
 public:
  // `run_directory`: where metrics.jsonl, machine.json and events/ go; empty:
  // nothing is written. `metrics` may be null. `clock` and `metrics` must
  // outlive the observer.
  // Errors: Unavailable (exit code 74).
  static absl::StatusOr<std::unique_ptr<JobObserver>> Create(
      const Job& job, const std::string& run_directory,
      const std::string& version, RoleMetrics* metrics, const Clock& clock);

  // From one thread.
  void OnEvent(const nlohmann::json& event);

  const StatusBoard& board() const { return board_; }

 private:
  JobObserver(const Job& job, const std::string& version, RoleMetrics* metrics,
              const Clock& clock);

  const Clock& clock_;
  RoleMetrics* const metrics_;
  StatusBoard board_;
  std::unique_ptr<JsonLog> log_;
  std::unique_ptr<EventFile> event_file_;
};

}  // namespace terse

#endif  // TERSE_COMMON_OBSERVE_JOB_OBSERVER_H_
