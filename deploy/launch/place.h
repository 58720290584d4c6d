// Which process of a job this is, read from what started it.
#ifndef TERSE_DEPLOY_LAUNCH_PLACE_H_
#define TERSE_DEPLOY_LAUNCH_PLACE_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "absl/status/statusor.h"

namespace terse {

enum class JobRole { kServer, kWorker };

// What the command line says; it goes before every variable.
struct PlaceFlags {
  std::string role;              // "server", "worker" or empty.
  std::optional<uint32_t> rank;  // Within the role if there is one.
  std::optional<uint32_t> world_size;
  std::string coordinator;  // HOST:PORT
};

struct Place {
  std::string source;  // "Open MPI (OMPI_COMM_WORLD_*)"
  // Of all processes; a job's first ranks are its servers.
  std::optional<uint32_t> rank;
  std::optional<uint32_t> world_size;
  // Where the source knows roles. A worker without a rank gets one when it
  // joins.
  std::optional<JobRole> role;
  std::optional<uint32_t> role_rank;
  bool scheduler = false;   // Of DMLC; Terse has no such role.
  bool by_mpi = false;      // MPI's launcher started it.
  std::string coordinator;  // HOST:PORT of shard 0; empty: not known.
};

using Environment = std::map<std::string, std::string>;

Environment CurrentEnvironment();

// Reads, in this order: flags, TERSE_*, torchrun, Open MPI, PMI and PMIx,
// Slurm, DMLC, a Kubernetes Indexed Job; the first that names a place wins.
// Errors: exit code 2 (nothing names one), 78 (two contradict each other, a
// variable is no number).
absl::StatusOr<Place> FindPlace(const PlaceFlags& flags,
                                const Environment& environment);

struct Assignment {
  JobRole role = JobRole::kWorker;
  std::optional<uint32_t> rank;  // Within the role.
};

// Errors: exit code 2 (the processes are not `servers` + `workers`, or the rank
// is not among them; says what to change).
absl::StatusOr<Assignment> AssignRole(const Place& place, uint32_t servers,
                                      uint32_t workers);

// The first host of a Slurm list: "n[07-09,12],login1" gives "n07".
std::string FirstSlurmHost(const std::string& list);

}  // namespace terse

#endif  // TERSE_DEPLOY_LAUNCH_PLACE_H_
