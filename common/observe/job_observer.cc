#include "common/observe/job_observer.h"

#include "common/base/status.h"
#include "common/config/job.h"
#include "common/observe/machine.h"

namespace terse {

JobObserver::JobObserver(const Job& job, const std::string& version,
                         RoleMetrics* metrics, const Clock& clock)
    : clock_(clock),
      metrics_(metrics),
      board_(job.name(), PrintJob(job), MachineJson(version)) {
  if (metrics != nullptr) metrics->SetWorkersWanted(job.cluster().workers());
}

absl::StatusOr<std::unique_ptr<JobObserver>> JobObserver::Create(
    const Job& job, const std::string& run_directory,
    const std::string& version, RoleMetrics* metrics, const Clock& clock) {
  std::unique_ptr<JobObserver> observer(
      new JobObserver(job, version, metrics, clock));
  if (run_directory.empty()) return observer;
  TERSE_RETURN_IF_ERROR(WriteFileAtomically(
      run_directory + "/machine.json", MachineJson(version).dump(2) + "\n"));
  TERSE_ASSIGN_OR_RETURN(observer->log_,
                         JsonLog::Open(run_directory + "/metrics.jsonl"));
  TERSE_ASSIGN_OR_RETURN(
      observer->event_file_,
      EventFile::Create(run_directory + "/events", clock.Now()));
  return observer;
}

void JobObserver::OnEvent(const nlohmann::json& event) {
  const absl::Time now = clock_.Now();
  nlohmann::json timed = event;
  timed["time"] = absl::ToDoubleSeconds(now - absl::UnixEpoch());
  if (log_) log_->Write(timed);
  if (event_file_) event_file_->Write(timed, now);
  if (metrics_ != nullptr) metrics_->OnEvent(timed, now);
  board_.OnEvent(timed);
}

}  // namespace terse
