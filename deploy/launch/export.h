// `terse export`, `terse eval` and `terse inspect` of a checkpoint.
#ifndef TERSE_DEPLOY_LAUNCH_EXPORT_H_
#define TERSE_DEPLOY_LAUNCH_EXPORT_H_

#include <string>

#include "CLI/CLI.hpp"
#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace terse {

struct ExportOptions {
  std::string path;    // A checkpoint, the folder it lies in, or a run.
  std::string output;  // The safetensors file.
  std::string format = "packed";  // Or "fp32", or "shadow".
};

struct EvalOptions {
  std::string path;
  std::string data_directory;  // Empty: as the job says.
  bool json = false;
};

// Adds the commands to `app`; parsing fills the options, which must live as
// long as `app`.
void AddExport(CLI::App& app, ExportOptions& options);
void AddEval(CLI::App& app, EvalOptions& options);

// Writes the network of a checkpoint as one safetensors file; README.md has the
// layout. Errors: as FindCheckpoint, SavedState::Open, WriteSafetensors.
absl::Status ExportCheckpoint(const ExportOptions& options);

// What a checkpoint is: step, accuracy, processes, files.
absl::StatusOr<std::string> DescribeCheckpoint(const std::string& path);

// Whether `path` is a folder, and so no job file.
bool IsCheckpointPath(const std::string& path);

// Each returns the exit code and says everything itself. RunEval becomes
// terse-worker, which has the network.
int RunExport(const ExportOptions& options);
int RunEval(const EvalOptions& options);

}  // namespace terse

#endif  // TERSE_DEPLOY_LAUNCH_EXPORT_H_
