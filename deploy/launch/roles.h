// The processes of a job on one machine and their command lines.
#ifndef TERSE_DEPLOY_LAUNCH_ROLES_H_
#define TERSE_DEPLOY_LAUNCH_ROLES_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "common/transport/security/security.h"
#include "deploy/launch/supervise.h"
#include "proto/job.pb.h"

namespace terse {

struct RoleOptions {
  std::string binary_directory;  // Where terse-server and terse-worker lie.
  std::string run_directory;
  std::string data_directory;  // Empty: as the job says.
  std::string kernel_target;   // Empty: the best of this CPU.
  std::string resume;          // What to go on from; empty: nothing.
  std::string http;            // Of the coordinator's page; empty: none.
  std::string token;           // Workers and shards show it when they join.
  TransportSecurity security;
  std::vector<std::string> server_hosts;  // Of each; empty: all are here.
  // Where shard 0 listens, if others look for it there already.
  std::string coordinator_address;
};

// Where shard 0 writes the address it listens on.
std::string PortFile(const std::string& run_directory);

// Where it writes the address of its page.
std::string HttpPortFile(const std::string& run_directory);

// Shard 0, which holds the job and admits the others; where servers are
// colocated, worker 0 with it.
Role CoordinatorRole(const Job& job, const RoleOptions& options);

// All the others; `coordinator` is shard 0's address.
std::vector<Role> OtherRoles(const Job& job, const RoleOptions& options,
                             const std::string& coordinator);

// What a worker needs in its environment, so that the threads of OpenBLAS and
// torch do not fight over the cores.
std::vector<std::pair<std::string, std::string>> WorkerEnvironment(
    const Job& job);

// The one process of a job whose transport is memory.
Role MemoryRole(const Job& job, const RoleOptions& options);

// The folder that this program lies in, with `programs` beside it.
// Errors: NotFound (exit code 66; one of them is missing).
absl::StatusOr<std::string> FindBinaries(
    const std::vector<std::string>& programs = {"terse-server",
                                                "terse-worker"});

// 256 random bits in hexadecimal.
absl::StatusOr<std::string> MakeToken();

}  // namespace terse

#endif  // TERSE_DEPLOY_LAUNCH_ROLES_H_
