// The transport of a role, by name.
#ifndef TERSE_COMMON_WIRE_ROLE_LINK_H_
#define TERSE_COMMON_WIRE_ROLE_LINK_H_

#include <cstdint>
#include <memory>
#include <string>

#include "common/transport/link.h"
#include "common/transport/security/security.h"

namespace terse {

// Rank and number of the processes that MPI has started.
struct RoleWorld {
  uint32_t rank = 0;
  uint32_t size = 1;
};

// Starts MPI. `expected_size`: what the job needs; 0: any number.
// Errors: FailedPrecondition (exit code 69; MPI has another number of
// processes), Unimplemented (exit code 2; built without MPI).
absl::StatusOr<RoleWorld> StartRoleMpi(uint32_t expected_size);

// `transport`: "grpc" or "mpi" (after StartRoleMpi). `listen_address`: of gRPC
// HOST:PORT, of MPI "mpi:RANK" with the process's rank; empty: only connects.
// gRPC loses a peer that does not answer for `peer_timeout`.
absl::StatusOr<std::unique_ptr<Link>> MakeRoleLink(
    const std::string& transport, const std::string& listen_address,
    const TransportSecurity& security, absl::Duration peer_timeout,
    FrameSink& sink);

// To be called last, when no link is left. Ends MPI, if it was started: after
// a success together with the other processes; after a failure alone, so that
// mpirun ends them.
void EndRoleTransport(bool success);

}  // namespace terse

#endif  // TERSE_COMMON_WIRE_ROLE_LINK_H_
