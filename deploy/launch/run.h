// `terse run`: one process of a job that something else has started.
#ifndef TERSE_DEPLOY_LAUNCH_RUN_H_
#define TERSE_DEPLOY_LAUNCH_RUN_H_

#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "common/transport/security/security.h"
#include "deploy/launch/place.h"

namespace terse {

struct RunOptions {
  std::string job_path;
  std::vector<std::string> overrides;  // "a.b=c", applied in order.
  PlaceFlags place;
  std::string transport;      // "grpc", "mpi"; empty: as fits the launcher.
  std::string run_directory;  // Of server 0. Empty: a new one under runs/.
  std::string report_path;    // Of server 0. Empty: only in the run directory.
  std::string http;           // HOST:PORT of the role; empty: none.
  double http_linger_seconds = 0;
  std::string data_directory;  // Empty: as the job says.
  std::string kernel_target;   // Empty: the best of this CPU.
  std::string resume;          // Of server 0. Empty: never.
  TransportSecurity security;
  bool dry_run = false;  // Prints what it would become, and ends.
  std::vector<std::string> command_line;  // For the record.
};

// Adds `run` to `app`; parsing fills `options`, which must live as long as
// `app`.
void AddRun(CLI::App& app, RunOptions& options);

// Finds out which process of the job this is and becomes it (exec). Returns
// only an exit code, on failure or after a dry run.
int RunOneProcess(const RunOptions& options);

}  // namespace terse

#endif  // TERSE_DEPLOY_LAUNCH_RUN_H_
