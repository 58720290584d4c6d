#include "deploy/launch/run.h"

#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "common/base/status.h"
#include "common/config/job.h"
#include "common/plan/plan.h"
#include "deploy/launch/process.h"
#include "deploy/launch/rendezvous.h"
#include "deploy/launch/roles.h"
#include "deploy/launch/run_directory.h"

namespace terse {
namespace {

absl::Status BadCommandLine(const std::string& message) {
  return WithExitCode(absl::InvalidArgumentError(message),
                      ExitCode::kBadCommandLine);
}

// Sets the job's transport to the one it will have.
absl::Status ChooseTransport(const RunOptions& options, const Place& place,
                             Job& job) {
  Cluster& cluster = *job.mutable_cluster();
  if (options.transport == "mpi") cluster.set_transport(Cluster::MPI);
  if (options.transport == "grpc") cluster.set_transport(Cluster::GRPC);
  // MPI's launchers say nothing of addresses, and those it starts can do
  // without.
  if (options.transport.empty() && place.by_mpi && place.coordinator.empty()) {
    cluster.set_transport(Cluster::MPI);
  }
  switch (cluster.transport()) {
    case Cluster::MPI:
      if (!place.role) return absl::OkStatus();
      return BadCommandLine(
          absl::StrCat("over MPI the first ranks are the servers, but ",
                       place.source, " gives roles: use --transport grpc"));
    case Cluster::MEMORY:
      return BadCommandLine(
          "cluster.transport: memory is for one process; use terse train, or "
          "--transport grpc");
    case Cluster::GRPC:
      break;
  }
  if (!place.coordinator.empty()) return absl::OkStatus();
  return BadCommandLine(absl::StrCat(
      place.source,
      " does not say where server 0 is: give --coordinator HOST:PORT or set "
      "TERSE_COORDINATOR, the same for all processes"));
}

// Anybody can reach a port that is not on loopback.
absl::Status CheckAccess(const Job& job, const Place& place,
                         const TransportSecurity& security) {
  TERSE_RETURN_IF_ERROR(CheckTlsFiles(security.tls_directory));
  if (job.cluster().transport() == Cluster::MPI) return absl::OkStatus();
  TERSE_RETURN_IF_ERROR(CheckSecurity(security, place.coordinator));
  const char* token = std::getenv("TERSE_TOKEN");
  if (IsLoopback(place.coordinator) || (token != nullptr && *token != 0)) {
    return absl::OkStatus();
  }
  return WithExitCode(
      absl::PermissionDeniedError(
          "TERSE_TOKEN is not set: give all processes of the job the same "
          "secret, so that nobody else can join it"),
      ExitCode::kNotAllowed);
}

void Append(std::vector<std::string>& arguments, const std::string& flag,
            const std::string& value) {
  if (value.empty()) return;
  arguments.push_back(flag);
  arguments.push_back(value);
}

// What this process becomes.
class OneProcess {
 public:
  OneProcess(const RunOptions& options, Job job, Place place,
             Assignment assignment)
      : options_(options),
        job_(std::move(job)),
        place_(std::move(place)),
        assignment_(assignment) {}

  // Makes the run directory, if this is server 0.
  absl::StatusOr<ProcessSpec> Prepare();
  // "world=5 from Open MPI (...): rank 3 is worker 2, over MPI".
  std::string Announcement() const;

 private:
  bool mpi() const { return job_.cluster().transport() == Cluster::MPI; }
  bool coordinates() const {
    return assignment_.rank == 0u &&
           (assignment_.role == JobRole::kServer || IsColocated(job_));
  }
  absl::StatusOr<ProcessSpec> Server(const std::string& binaries);
  absl::StatusOr<ProcessSpec> Worker(const std::string& binaries);
  // What a server is told, in a process of its own or a worker's.
  absl::Status AddServer(ProcessSpec& spec);
  absl::StatusOr<std::string> MakeRunFolder();

  const RunOptions& options_;
  const Job job_;
  const Place place_;
  const Assignment assignment_;
};

std::string OneProcess::Announcement() const {
  const std::string rank =
      place_.rank ? absl::StrCat("rank ", *place_.rank) : "this process";
  const std::string role = assignment_.role == JobRole::kServer ? "server"
                           : IsColocated(job_) ? "worker and server"
                                               : "worker";
  return absl::StrCat(
      "world=", ProcessCount(job_), " from ", place_.source, ": ", rank, " is ",
      assignment_.rank ? "" : "a ", role,
      assignment_.rank ? absl::StrCat(" ", *assignment_.rank) : "",
      mpi() ? ", over MPI"
            : absl::StrCat(", over gRPC, server 0 at ", place_.coordinator));
}

absl::StatusOr<ProcessSpec> OneProcess::Prepare() {
  // An image of a server has no worker in it.
  const bool server = assignment_.role == JobRole::kServer;
  TERSE_ASSIGN_OR_RETURN(
      const std::string binaries,
      FindBinaries({server ? "terse-server" : "terse-worker"}));
  ProcessSpec spec;
  if (server) {
    TERSE_ASSIGN_OR_RETURN(spec, Server(binaries));
  } else {
    TERSE_ASSIGN_OR_RETURN(spec, Worker(binaries));
  }
  if (mpi()) {
    Append(spec.arguments, "--transport", "mpi");
    // An MPI that sees only itself would train alone.
    Append(spec.arguments, "--mpi-ranks", absl::StrCat(ProcessCount(job_)));
  }
  if (job_.cluster().has_peer_timeout_seconds() && !coordinates()) {
    Append(spec.arguments, "--peer-timeout-seconds",
           absl::StrCat(job_.cluster().peer_timeout_seconds()));
  }
  for (const std::string& flag : SecurityFlags(options_.security)) {
    spec.arguments.push_back(flag);
  }
  Append(spec.arguments, "--http", options_.http);
  if (coordinates() && options_.http_linger_seconds > 0) {
    Append(spec.arguments, "--http-linger-seconds",
           absl::StrCat(options_.http_linger_seconds));
  }
  Append(spec.arguments, "--kernel-target", options_.kernel_target);
  return spec;
}

absl::StatusOr<ProcessSpec> OneProcess::Server(const std::string& binaries) {
  ProcessSpec spec;
  spec.arguments = {absl::StrCat(binaries, "/terse-server"), "--shard",
                    absl::StrCat(*assignment_.rank)};
  TERSE_RETURN_IF_ERROR(AddServer(spec));
  return spec;
}

absl::Status OneProcess::AddServer(ProcessSpec& spec) {
  if (coordinates()) {
    // Nothing starts for a job whose model does not fit together.
    TERSE_RETURN_IF_ERROR(MakePlan(job_).status());
    TERSE_ASSIGN_OR_RETURN(const std::string folder, MakeRunFolder());
    Append(spec.arguments, "--job", absl::StrCat(folder, "/job.yaml"));
    Append(spec.arguments, "--run-dir", folder);
    Append(spec.arguments, "--report", options_.report_path);
    Append(spec.arguments, "--resume", options_.resume);
  }
  if (mpi()) return absl::OkStatus();
  if (coordinates()) {
    Append(spec.arguments, "--listen", ListenAddress(place_.coordinator));
    return absl::OkStatus();
  }
  Append(spec.arguments, "--coordinator", place_.coordinator);
  TERSE_ASSIGN_OR_RETURN(
      const std::string host,
      OwnHostTowards(place_.coordinator,
                     absl::Seconds(job_.cluster().join_timeout_seconds())));
  Append(spec.arguments, "--listen", absl::StrCat(host, ":0"));
  return absl::OkStatus();
}

absl::StatusOr<ProcessSpec> OneProcess::Worker(const std::string& binaries) {
  ProcessSpec spec;
  spec.arguments = {absl::StrCat(binaries, "/terse-worker")};
  if (IsColocated(job_)) {
    if (!assignment_.rank) {
      return BadCommandLine(
          absl::StrCat("cluster.servers: colocated: ", place_.source,
                       " does not say which worker this is: give --rank"));
    }
    spec.arguments.push_back("--colocated");
    TERSE_RETURN_IF_ERROR(AddServer(spec));
  } else if (!mpi()) {
    Append(spec.arguments, "--coordinator", place_.coordinator);
  }
  if (assignment_.rank) {
    Append(spec.arguments, "--rank", absl::StrCat(*assignment_.rank));
  }
  Append(spec.arguments, "--data-dir", options_.data_directory);
  spec.environment = WorkerEnvironment(job_);
  return spec;
}

absl::StatusOr<std::string> OneProcess::MakeRunFolder() {
  if (options_.dry_run) {
    return options_.run_directory.empty() ? std::string("RUN")
                                          : options_.run_directory;
  }
  if (!options_.report_path.empty()) {
    TERSE_RETURN_IF_ERROR(CheckWritable(options_.report_path));
  }
  const absl::Time now = absl::Now();
  TERSE_ASSIGN_OR_RETURN(const std::string folder,
                         MakeRunDirectory(options_.run_directory, job_.name(),
                                          now, options_.resume == "auto"));
  TERSE_RETURN_IF_ERROR(
      KeepCommand(folder, PrintJob(job_), options_.command_line, now));
  absl::FPrintF(stderr, "terse: files in %s/\n", folder);
  return folder;
}

absl::Status Become(const ProcessSpec& spec) {
  std::vector<char*> arguments;
  for (const std::string& argument : spec.arguments) {
    arguments.push_back(const_cast<char*>(argument.c_str()));
  }
  arguments.push_back(nullptr);
  for (const auto& [name, value] : spec.environment) {
    setenv(name.c_str(), value.c_str(), 1);
  }
  execv(arguments[0], arguments.data());
  return absl::InternalError(
      absl::StrCat("cannot execute ", arguments[0], ": ", strerror(errno)));
}

absl::Status RunIt(const RunOptions& options) {
  TERSE_ASSIGN_OR_RETURN(Job job,
                         ReadJobFile(options.job_path, options.overrides));
  TERSE_ASSIGN_OR_RETURN(const Place place,
                         FindPlace(options.place, CurrentEnvironment()));
  if (place.scheduler) {
    absl::FPrintF(stderr, "terse: DMLC_ROLE=scheduler: Terse needs none\n");
    return absl::OkStatus();
  }
  TERSE_RETURN_IF_ERROR(ChooseTransport(options, place, job));
  TERSE_ASSIGN_OR_RETURN(
      const Assignment assignment,
      AssignRole(place, job.cluster().servers(), job.cluster().workers()));
  TERSE_RETURN_IF_ERROR(CheckAccess(job, place, options.security));
  OneProcess process(options, std::move(job), place, assignment);
  absl::FPrintF(stderr, "terse: %s\n", process.Announcement());
  TERSE_ASSIGN_OR_RETURN(const ProcessSpec spec, process.Prepare());
  if (!options.dry_run) return Become(spec);
  absl::PrintF("%s\n", ShellLine(spec.arguments));
  return absl::OkStatus();
}

}  // namespace

void AddRun(CLI::App& app, RunOptions& options) {
  CLI::App& run = *app.add_subcommand(
      "run",
      "Becomes one process of a job that mpirun, srun, torchrun or you start");
  run.add_option("job", options.job_path, "The job file (YAML)")
      ->required()
      ->type_name("JOB.yaml");
  run.add_option("--set", options.overrides,
                 "Sets a value of the job, the same in all processes")
      ->type_name("KEY=VALUE")
      ->expected(1)
      ->take_all();
  run.add_option("--role", options.place.role,
                 "server or worker; else the first ranks are servers")
      ->check(CLI::IsMember({"server", "worker"}));
  run.add_option("--rank", options.place.rank,
                 "Which process this is; with --role, which of that role")
      ->type_name("N");
  run.add_option("--world-size", options.place.world_size,
                 "How many processes there are")
      ->type_name("N");
  run.add_option("--coordinator", options.place.coordinator,
                 "Where server 0 listens; else from the variables")
      ->type_name("HOST:PORT");
  run.add_option("--transport", options.transport,
                 "grpc or mpi; else mpi under mpirun")
      ->check(CLI::IsMember({"grpc", "mpi"}));
  run.add_option("--data-dir", options.data_directory,
                 "Where the data files lie")
      ->type_name("DIR");
  run.add_option("--run-dir", options.run_directory,
                 "Server 0 keeps the run here; else runs/NAME-TIME-PID")
      ->type_name("DIR");
  run.add_option("--resume", options.resume,
                 "never; auto: from the newest checkpoint in --run-dir, if "
                 "there is one; or the path of a run or checkpoint")
      ->type_name("auto|PATH|never");
  run.add_option("--report", options.report_path,
                 "Server 0 writes the report here too (JSON)")
      ->type_name("FILE");
  run.add_option("--http", options.http,
                 "HOST:PORT for health, metrics and server 0's status page")
      ->type_name("HOST:PORT");
  run.add_option("--http-linger-seconds", options.http_linger_seconds,
                 "How long server 0 waits at its end for a last scrape of "
                 "/metrics")
      ->type_name("S")
      ->check(CLI::Range(0.0, 3600.0));
  run.add_option("--kernel-target", options.kernel_target,
                 "Instruction set of Terse's kernels; else the best here")
      ->type_name("NAME");
  AddSecurityOptions(run, options.security);
  run.add_flag("--dry-run", options.dry_run,
               "Prints the command this process would become, and ends");
}

int RunOneProcess(const RunOptions& options) {
  const absl::Status status = RunIt(options);
  if (!status.ok()) {
    absl::FPrintF(stderr, "terse: %s\n", status.message());
  }
  return int(ExitCodeOf(status));
}

}  // namespace terse
