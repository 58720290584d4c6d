// Which machine each process of a launched job runs on.
#ifndef TERSE_DEPLOY_LAUNCH_HOSTFILE_H_
#define TERSE_DEPLOY_LAUNCH_HOSTFILE_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace terse {

struct HostSlots {
  std::string host;
  uint32_t slots = 1;  // Workers it takes.
};

// Lines "host slots=N" (Open MPI, DeepSpeed) or "host:N" (MPICH), N is 1 if it
// is left out; # begins a comment. `path` is for errors.
// Errors: InvalidArgument (exit code 78), with the line.
absl::StatusOr<std::vector<HostSlots>> ParseHostfile(std::string_view text,
                                                     const std::string& path);

struct Placement {
  std::vector<std::string> servers;  // Host of each.
  std::vector<std::string> workers;
};

// Workers fill the slots of the hosts in their order. Servers take no slot:
// they go to the hosts in turn, so that no wire carries more of them than it
// must.
// Errors: InvalidArgument (exit code 78): fewer slots than workers.
absl::StatusOr<Placement> PlaceRoles(const std::vector<HostSlots>& hosts,
                                     uint32_t servers, uint32_t workers);

}  // namespace terse

#endif  // TERSE_DEPLOY_LAUNCH_HOSTFILE_H_
