#include "common/wire/role_link.h"

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/transport/grpc/grpc_link.h"
#ifdef TERSE_WITH_MPI
#include "common/transport/mpi/mpi_link.h"
#endif

namespace terse {
namespace {

#ifndef TERSE_WITH_MPI
absl::Status NoMpiError() {
  return WithExitCode(
      absl::UnimplementedError(
          "--transport mpi: this Terse was built without MPI; install "
          "libopenmpi-dev and build again, or use --transport grpc"),
      ExitCode::kBadCommandLine);
}
#endif

}  // namespace

absl::StatusOr<RoleWorld> StartRoleMpi(
    [[maybe_unused]] uint32_t expected_size) {
#ifdef TERSE_WITH_MPI
  TERSE_ASSIGN_OR_RETURN(const MpiWorld world, StartMpi());
  if (expected_size != 0 && world.size != expected_size) {
    return WithExitCode(
        absl::FailedPreconditionError(absl::StrCat(
            "MPI has ", world.size, world.size == 1 ? " process" : " processes",
            ", the job needs ", expected_size,
            ": start it with the mpirun (or srun --mpi) of the MPI that Terse "
            "was built with")),
        ExitCode::kPeerNeverCame);
  }
  return RoleWorld{.rank = static_cast<uint32_t>(world.rank),
                   .size = static_cast<uint32_t>(world.size)};
#else
  return NoMpiError();
#endif
}

absl::StatusOr<std::unique_ptr<Link>> MakeRoleLink(
    const std::string& transport, const std::string& listen_address,
    const TransportSecurity& security, absl::Duration peer_timeout,
    FrameSink& sink) {
  if (transport == "grpc") {
    return MakeGrpcLink({.listen_address = listen_address,
                         .security = security,
                         .peer_timeout = peer_timeout},
                        sink);
  }
  TERSE_CHECK(transport == "mpi");
#ifdef TERSE_WITH_MPI
  return MakeMpiLink({.listen_address = listen_address}, sink);
#else
  return NoMpiError();
#endif
}

void EndRoleTransport([[maybe_unused]] bool success) {
#ifdef TERSE_WITH_MPI
  FinishMpi(success);
#endif
}

}  // namespace terse
