// The machines of one launched job.
#ifndef TERSE_DEPLOY_LAUNCH_REMOTE_HOSTS_H_
#define TERSE_DEPLOY_LAUNCH_REMOTE_HOSTS_H_

#include <string>

#include "absl/status/statusor.h"
#include "deploy/launch/hostfile.h"
#include "deploy/launch/remote.h"
#include "deploy/launch/train.h"
#include "proto/job.pb.h"

namespace terse {

class RemoteHosts {
 public:
  // Reads the hostfile and gives every role of `job` a host.
  // Errors: NotFound (exit code 66: hostfile or agent), InvalidArgument (78).
  static absl::StatusOr<RemoteHosts> Make(const Job& job,
                                          const TrainOptions& options);

  const Placement& placement() const { return placement_; }
  // A folder that all machines see; to be called before Place.
  void set_run_directory(const std::string& directory);

  // `role` as its host runs it.
  Role Place(const Role& role) const;

  // The job's token in the run directory, for its owner alone to read.
  // Errors: exit code 74.
  absl::Status WriteToken(const std::string& token) const;
  void RemoveToken() const;

 private:
  Placement placement_;
  RemoteOptions options_;
};

}  // namespace terse

#endif  // TERSE_DEPLOY_LAUNCH_REMOTE_HOSTS_H_
