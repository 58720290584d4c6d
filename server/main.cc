// terse-server: one shard of a job. Shard 0 is the coordinator and has the job;
// the others and the workers need its address and the token (TERSE_TOKEN).
#include <memory>
#include <optional>
#include <string>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/config/job.h"
#include "common/kernels/target.h"
#include "common/observe/role_http.h"
#include "common/transport/inbox.h"
#include "common/wire/event_loop.h"
#include "common/wire/resume.h"
#include "common/wire/role_link.h"
#include "common/wire/role_main.h"
#include "server/server.h"
#include "spdlog/spdlog.h"

namespace terse {
namespace {

constexpr char kProgram[] = "terse-server";

struct Flags {
  std::string job;
  std::optional<uint32_t> shard;
  std::string transport = "grpc";
  uint32_t mpi_ranks = 0;
  std::string coordinator;
  std::string listen = "127.0.0.1:0";
  std::string port_file;
  std::string run_dir;
  std::string report;
  std::string kernel_target;
  uint32_t peer_timeout_seconds = Cluster().peer_timeout_seconds();
  std::string checkpoint_dir;
  std::string resume = "never";
  TransportSecurity security;
  HttpFlags http;
};

// Shards are the first ranks of MPI, which tells each where it and shard 0 are.
absl::Status FillFromMpi(Flags& flags) {
  TERSE_ASSIGN_OR_RETURN(const RoleWorld world, StartRoleMpi(flags.mpi_ranks));
  flags.listen = absl::StrCat("mpi:", world.rank);
  if (flags.shard.value_or(world.rank) != world.rank) {
    return WithExitCode(
        absl::InvalidArgumentError(absl::StrCat(
            "--shard ", *flags.shard, ": this is rank ", world.rank,
            " of MPI, and shard j is rank j; leave --shard out")),
        ExitCode::kBadCommandLine);
  }
  flags.shard = world.rank;
  if (world.rank > 0) {
    flags.job.clear();
    flags.coordinator = "mpi:0";
  }
  return absl::OkStatus();
}

// Before anything is made: a refusal in the log of a lost peer would be late.
absl::Status CheckAddresses(const Flags& flags) {
  if (flags.transport != "grpc") return absl::OkStatus();
  TERSE_RETURN_IF_ERROR(CheckSecurity(flags.security, flags.listen));
  if (flags.coordinator.empty()) return absl::OkStatus();
  return CheckSecurity(flags.security, flags.coordinator);
}

// Measures what a server handles.
auto MeasureFrames(RoleMetrics& metrics, const Link& link,
                   const Server& server) {
  return [&](uint32_t frame_type, absl::Duration handled) {
    std::optional<ShardProgress> progress;
    if (frame_type == wire::STEP) {
      const LinkCounters counters = link.Counters();
      progress = {.wire_bytes_up = counters.bytes_received,
                  .wire_bytes_down = counters.bytes_sent,
                  .version = server.Version(),
                  .workers_connected = server.WorkersConnected()};
    }
    metrics.OnFrame(handled, progress);
  };
}

absl::Status Run(Flags flags) {
  const std::atomic<int>& stop = StopSignal();
  if (flags.transport == "mpi") TERSE_RETURN_IF_ERROR(FillFromMpi(flags));
  const uint32_t shard = flags.shard.value_or(0);
  if ((shard == 0) == flags.job.empty() ||
      (shard == 0) != flags.coordinator.empty()) {
    return WithExitCode(absl::InvalidArgumentError(
                            "shard 0 takes --job, the others --coordinator"),
                        ExitCode::kBadCommandLine);
  }
  TERSE_RETURN_IF_ERROR(CheckAddresses(flags));
  TERSE_RETURN_IF_ERROR(ChooseKernelTarget(flags.kernel_target));
  StartLog(absl::StrCat("shard ", shard));
  ServerOptions options;
  options.shard = shard;
  options.coordinator_address = flags.coordinator;
  options.token = TokenFromEnvironment();
  const SystemClock clock;
  RoleMetrics metrics(
      shard == 0 ? MetricsRole::kCoordinator : MetricsRole::kServer,
      TERSE_VERSION, KernelTargetName());
  std::unique_ptr<JobObserver> observer;
  if (shard == 0) {
    TERSE_ASSIGN_OR_RETURN(options.job, ReadJobFile(flags.job, {}));
    flags.peer_timeout_seconds = options.job->cluster().peer_timeout_seconds();
    if (!flags.run_dir.empty() || !flags.http.listen.empty()) {
      TERSE_ASSIGN_OR_RETURN(
          observer, JobObserver::Create(*options.job, flags.run_dir,
                                        TERSE_VERSION, &metrics, clock));
      options.on_event = [&observer](const nlohmann::json& event) {
        observer->OnEvent(event);
      };
    }
    if (flags.checkpoint_dir.empty() && !flags.run_dir.empty()) {
      flags.checkpoint_dir = flags.run_dir + "/checkpoints";
    }
    TERSE_ASSIGN_OR_RETURN(options.resume,
                           ChooseResume(flags.resume, flags.checkpoint_dir));
    TERSE_ASSIGN_OR_RETURN(options.checkpoint_directory,
                           CheckpointDirectory(flags.checkpoint_dir));
  }
  Inbox inbox(2 * kOutboxBytesMax);
  options.background =
      std::make_unique<ThreadBackground>([&inbox] { inbox.Wake(); });
  TERSE_ASSIGN_OR_RETURN(
      const std::unique_ptr<Link> link,
      MakeRoleLink(flags.transport, flags.listen, flags.security,
                   absl::Seconds(flags.peer_timeout_seconds), inbox));
  spdlog::info("listening on {}, kernels for {}", link->Address(),
               KernelTargetName());
  if (!flags.port_file.empty()) {
    TERSE_RETURN_IF_ERROR(
        WriteFileAtomically(flags.port_file, link->Address() + "\n"));
  }
  Server server(std::move(options), *link, clock);
  if (!flags.http.listen.empty()) {
    server.MeasureFrames(MeasureFrames(metrics, *link, server));
  }
  TERSE_RETURN_IF_ERROR(server.Start());
  TERSE_ASSIGN_OR_RETURN(
      const std::unique_ptr<HttpServer> http,
      StartRoleHttp(flags.http, flags.security, metrics, observer.get()));
  TERSE_RETURN_IF_ERROR(RunEventLoop(server, inbox, clock, stop));
  if (shard != 0) return absl::OkStatus();
  return WriteReport(server.report(), flags.run_dir, flags.report);
}

int Main(int argc, char** argv) {
  Flags flags;
  CLI::App app("One shard of a Terse job.", kProgram);
  app.add_option("--job", flags.job, "job file; shard 0 only");
  app.add_option("--shard", flags.shard, "which shard this is");
  app.add_option("--coordinator", flags.coordinator,
                 "HOST:PORT of shard 0; shards above 0 only");
  app.add_option("--transport", flags.transport,
                 "grpc, or mpi: shard j is rank j of mpirun")
      ->check(CLI::IsMember({"grpc", "mpi"}));
  app.add_option("--mpi-ranks", flags.mpi_ranks,
                 "how many processes MPI must have started");
  app.add_option("--listen", flags.listen,
                 "HOST:PORT, port 0 for any, or unix:PATH");
  app.add_option("--port-file", flags.port_file,
                 "where to write the address that is listened on");
  app.add_option("--run-dir", flags.run_dir,
                 "where metrics.jsonl and report.json go");
  app.add_option("--report", flags.report, "a second place for the report");
  app.add_option("--peer-timeout-seconds", flags.peer_timeout_seconds,
                 "after what silence a peer is lost; of shard 0 the job says");
  app.add_option("--checkpoint-dir", flags.checkpoint_dir,
                 "where checkpoints go; shard 0 only, which tells the others; "
                 "else checkpoints/ in --run-dir");
  app.add_option(
      "--resume", flags.resume,
      "what to go on from: never; auto, the newest whole checkpoint "
      "in --checkpoint-dir if there is one; or a path; shard 0 only");
  AddSecurityOptions(app, flags.security);
  app.add_option("--kernel-target", flags.kernel_target,
                 "instruction set of the kernels");
  app.add_option("--http", flags.http.listen,
                 "HOST:PORT for health, metrics and the status page");
  app.add_option("--http-port-file", flags.http.port_file,
                 "where to write the address of --http");
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
