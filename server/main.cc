// terse-server: one shard of a job. Shard 0 is the coordinator and has the job;
// the others and the workers need its address and the token (TERSE_TOKEN).
#include <optional>
#include <string>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/wire/role_link.h"
#include "common/wire/role_main.h"
#include "server/server_role.h"

namespace terse {
namespace {

constexpr char kProgram[] = "terse-server";

struct Flags {
  std::optional<uint32_t> shard;
  std::string transport = "grpc";
  uint32_t mpi_ranks = 0;
  std::string kernel_target;
  ServerRole role;
};

// Shards are the first ranks of MPI, which tells each where it and shard 0 are.
absl::Status FillFromMpi(Flags& flags) {
  TERSE_ASSIGN_OR_RETURN(const RoleWorld world, StartRoleMpi(flags.mpi_ranks));
  flags.role.listen = absl::StrCat("mpi:", world.rank);
  if (flags.shard.value_or(world.rank) != world.rank) {
    return WithExitCode(
        absl::InvalidArgumentError(absl::StrCat(
            "--shard ", *flags.shard, ": this is rank ", world.rank,
            " of MPI, and shard j is rank j; leave --shard out")),
        ExitCode::kBadCommandLine);
  }
  flags.shard = world.rank;
  if (world.rank > 0) {
    flags.role.job.clear();
    flags.role.coordinator = "mpi:0";
  }
  return absl::OkStatus();
}

absl::Status Run(Flags flags) {
  const std::atomic<int>& stop = StopSignal();
  if (flags.transport == "mpi") TERSE_RETURN_IF_ERROR(FillFromMpi(flags));
  ServerRole& role = flags.role;
  role.transport = flags.transport;
  role.shard = flags.shard.value_or(0);
  if ((role.shard == 0) == role.job.empty() ||
      (role.shard == 0) != role.coordinator.empty()) {
    return WithExitCode(absl::InvalidArgumentError(
                            "shard 0 takes --job, the others --coordinator"),
                        ExitCode::kBadCommandLine);
  }
  TERSE_RETURN_IF_ERROR(CheckAddresses(role));
  TERSE_RETURN_IF_ERROR(ChooseKernelTarget(flags.kernel_target));
  StartLog(absl::StrCat("shard ", role.shard));
  return RunServerRole(role, stop);
}

int Main(int argc, char** argv) {
  Flags flags;
  CLI::App app("One shard of a Terse job.", kProgram);
  app.add_option("--job", flags.role.job, "job file; shard 0 only");
  app.add_option("--shard", flags.shard, "which shard this is");
  app.add_option("--coordinator", flags.role.coordinator,
                 "HOST:PORT of shard 0; shards above 0 only");
  app.add_option("--transport", flags.transport,
                 "grpc, or mpi: shard j is rank j of mpirun")
      ->check(CLI::IsMember({"grpc", "mpi"}));
  app.add_option("--mpi-ranks", flags.mpi_ranks,
                 "how many processes MPI must have started");
  app.add_option("--listen", flags.role.listen,
                 "HOST:PORT, port 0 for any, or unix:PATH");
  app.add_option("--port-file", flags.role.port_file,
                 "where to write the address that is listened on");
  app.add_option("--run-dir", flags.role.run_dir,
                 "where metrics.jsonl and report.json go");
  app.add_option("--report", flags.role.report,
                 "a second place for the report");
  app.add_option("--peer-timeout-seconds", flags.role.peer_timeout_seconds,
                 "after what silence a peer is lost; of shard 0 the job says");
  app.add_option("--checkpoint-dir", flags.role.checkpoint_dir,
                 "where checkpoints go; shard 0 only, which tells the others; "
                 "else checkpoints/ in --run-dir");
  app.add_option(
      "--resume", flags.role.resume,
      "what to go on from: never; auto, the newest whole checkpoint "
      "in --checkpoint-dir if there is one; or a path; shard 0 only");
  AddSecurityOptions(app, flags.role.security);
  app.add_option("--kernel-target", flags.kernel_target,
                 "instruction set of the kernels");
  app.add_option("--http", flags.role.http.listen,
                 "HOST:PORT for health, metrics and the status page");
  app.add_option("--http-port-file", flags.role.http.port_file,
                 "where to write the address of --http");
  app.add_option("--http-linger-seconds", flags.role.http.linger_seconds,
                 "how long the coordinator waits at its end for a last scrape "
                 "of /metrics")
      ->check(CLI::Range(0.0, 3600.0));
  app.set_version_flag("--version", TERSE_VERSION);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0
                                : static_cast<int>(ExitCode::kBadCommandLine);
  }
  const int code = ExitWith(kProgram, Run(flags));
  EndRoleTransport(code == 0);
  return code;
}

}  // namespace
}  // namespace terse

int main(int argc, char** argv) { return terse::Main(argc, argv); }
