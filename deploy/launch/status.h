// `terse status` and `terse report`: a job as text, and as one file of HTML.
#ifndef TERSE_DEPLOY_LAUNCH_STATUS_H_
#define TERSE_DEPLOY_LAUNCH_STATUS_H_

#include <string>

#include "CLI/CLI.hpp"
#include "absl/status/statusor.h"
#include "common/transport/security/security.h"
#include "nlohmann/json.hpp"

namespace terse {

struct StatusOptions {
  // HOST:PORT of the coordinator's --http, or a run directory.
  std::string address;
  TransportSecurity security;
  bool live = false;  // Shows it anew every second until the job ends.
  bool json = false;
};

struct ReportOptions {
  std::string run_directory;
  std::string target;  // Empty: report.html in the run directory.
};

// Adds `status` (`report`) to `app`; parsing fills `options`, which must live
// as long as `app`.
void AddStatus(CLI::App& app, StatusOptions& options);
void AddReport(CLI::App& app, ReportOptions& options);

// What StatusBoard::Status says, for people.
std::string StatusText(const nlohmann::json& status);

// The status of a run that has left its files.
// Errors: NotFound (exit code 66), DataLoss (exit code 65).
absl::StatusOr<nlohmann::json> StatusOfRun(const std::string& run_directory);

// Return the exit code and say errors themselves.
int RunStatus(const StatusOptions& options);
int RunReport(const ReportOptions& options);

}  // namespace terse

#endif  // TERSE_DEPLOY_LAUNCH_STATUS_H_
