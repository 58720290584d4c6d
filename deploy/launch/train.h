// `terse train` and `terse launch`: a whole job, on this machine or on others.
#ifndef TERSE_DEPLOY_LAUNCH_TRAIN_H_
#define TERSE_DEPLOY_LAUNCH_TRAIN_H_

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "common/transport/security/security.h"

namespace terse {

struct TrainOptions {
  std::string job_path;
  std::vector<std::string> overrides;  // "a.b=c", applied in order.
  std::string run_directory;           // Empty: a new one under runs/.
  std::string report_path;             // Empty: only in the run directory.
  std::string data_directory;          // Empty: as the job says.
  std::string kernel_target;           // Empty: the best of this CPU.
  std::string resume = "never";        // Or "auto", or a path.
  // How often each role is started again when it is lost; the whole job then
  // goes on from its last checkpoint.
  uint32_t restarts_max = 3;
  std::string http = "127.0.0.1:0";  // Of the status page; "none": no page.
  std::chrono::milliseconds grace{30'000};
  TransportSecurity security;
  // `terse launch`: where the roles go; no file: all of them run here.
  std::string hostfile;
  std::string agent = "ssh -o BatchMode=yes";
  bool tee = false;        // Shows what the roles write, too.
  bool print_job = false;  // Prints the resolved job, and nothing else.
  bool dry_run = false;    // Prints what would be started, and nothing else.
  std::vector<std::string> command_line;  // For the record.
};

// Returns the exit code; says everything else itself, progress and errors on
// standard error, the result on standard output.
int RunTrain(const TrainOptions& options);

}  // namespace terse

#endif  // TERSE_DEPLOY_LAUNCH_TRAIN_H_
