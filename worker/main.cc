// terse-worker: one worker of a job, or with --memory a whole job as threads.
// A worker needs the coordinator's address and the token (TERSE_TOKEN); the job
// comes from the coordinator.
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/config/job.h"
#include "common/kernels/target.h"
#include "common/observe/role_http.h"
#include "common/transport/inbox.h"
#include "common/transport/joined_link.h"
#include "common/transport/memory_link.h"
#include "common/wire/event_loop.h"
#include "common/wire/resume.h"
#include "common/wire/role_link.h"
#include "common/wire/role_main.h"
#include "common/wire/wire_cost.h"
#include "server/server_role.h"
#include "spdlog/spdlog.h"
#include "worker/data/dataset.h"
#include "worker/evaluate.h"
#include "worker/local_job.h"
#include "worker/measure_compute.h"
#include "worker/session.h"
#include "worker/step_work.h"
#include "worker/torch/threads.h"
#include "worker/torch/torch_model.h"

namespace terse {
namespace {

constexpr char kProgram[] = "terse-worker";

struct Flags {
  std::string coordinator;
  std::optional<uint32_t> rank;
  std::string transport = "grpc";
  uint32_t mpi_ranks = 0;
  std::string data_dir;
  bool memory = false;
  bool colocated = false;
  std::string listen = "127.0.0.1:0";
  std::string port_file;
  std::string job;
  std::string run_dir;
  std::string report;
  std::string kernel_target;
  uint32_t peer_timeout_seconds = Cluster().peer_timeout_seconds();
  std::string checkpoint_dir;
  std::string evaluate;
  std::string measure;
  std::vector<std::string> overrides;
  bool json = false;
  std::string resume = "never";
  TransportSecurity security;
  HttpFlags http;
};

// Networks over one data set, which the workers of a process share.
ModelFactory TorchModels(const std::string& data_dir) {
  auto dataset = std::make_shared<std::shared_ptr<const Dataset>>();
  return [data_dir, dataset](
             const Job& job, const Plan& plan,
             uint32_t rank) -> absl::StatusOr<std::unique_ptr<NetworkModel>> {
    if (*dataset == nullptr) {
      TERSE_ASSIGN_OR_RETURN(*dataset,
                             OpenDataset(job.data(), data_dir, job.seed()));
    }
    return MakeTorchModel({.job = job,
                           .spec = plan.model,
                           .dataset = *dataset,
                           .worker = rank,
                           .workers = job.cluster().workers(),
                           .threads = job.cluster().threads_per_worker()});
  };
}

std::string HostName() {
  std::array<char, 256> name{};
  return gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "";
}

// What the metrics take of a step, the `steps`th of this process.
StepMetrics MetricsOf(const StepRecord& record, const WorkerSession& session,
                      const LinkCounters& counters, uint64_t steps) {
  const Plan& plan = *session.plan();
  StepMetrics step;
  step.times = record.times;
  step.samples = record.samples;
  step.loss = record.samples > 0 ? record.loss_sum / record.samples : 0;
  step.residual_norm_ratio = record.residual_norm_ratio;
  step.wire_bytes_up = counters.bytes_sent;
  step.wire_bytes_down = counters.bytes_received;
  step.raw_bytes = steps * plan.ParameterCount() * sizeof(float);
  for (size_t t = 0; t < plan.tensors.size(); ++t) {
    if (plan.IsBuffer(t)) continue;
    step.payload_bytes[plan.tensors[t].codec->Describe()] +=
        session.uplink()->PayloadBytes(t);
  }
  return step;
}

// `beside`: the server of the same process, where there is one, and its
// address.
absl::Status RunWorker(const Flags& flags, const std::atomic<int>& stop,
                       MemoryNetwork* beside = nullptr,
                       const std::string& beside_address = "") {
  if (flags.transport != "mpi") {
    TERSE_RETURN_IF_ERROR(CheckSecurity(flags.security, flags.coordinator));
  }
  const SystemClock clock;
  Inbox inbox(2 * kOutboxBytesMax);
  TERSE_ASSIGN_OR_RETURN(
      std::unique_ptr<Link> link,
      MakeRoleLink(flags.transport, "", flags.security,
                   absl::Seconds(flags.peer_timeout_seconds), inbox));
  if (beside != nullptr) {
    TERSE_ASSIGN_OR_RETURN(std::unique_ptr<Link> inner,
                           beside->MakeLink("", inbox));
    link = std::make_unique<JoinedLink>(std::move(link), std::move(inner),
                                        beside_address, kServerBeside);
  }
  RoleMetrics metrics(MetricsRole::kWorker, TERSE_VERSION, KernelTargetName());
  WorkerSession* handler = nullptr;
  uint64_t steps = 0;
  SessionOptions options;
  options.coordinator_address = flags.coordinator;
  options.rank = flags.rank;
  options.token = TokenFromEnvironment();
  options.incarnation = NewIncarnation();
  options.handle_next_event = [&] {
    HandleNextEvent(*handler, inbox, clock, stop);
  };
  options.handle_pending_event = [&] {
    return HandlePendingEvent(*handler, inbox);
  };
  options.measure_work = MeasureStepWork;
  options.host = HostName();
  options.cores = std::thread::hardware_concurrency();
  if (!flags.http.listen.empty()) {
    options.on_step = [&](const StepRecord& record) {
      metrics.OnStep(MetricsOf(record, *handler, link->Counters(), ++steps));
    };
  }
  TERSE_ASSIGN_OR_RETURN(
      const std::unique_ptr<HttpServer> http,
      StartRoleHttp(flags.http, flags.security, metrics, nullptr));
  const ModelFactory models = TorchModels(flags.data_dir);
  while (true) {
    WorkerSession session(options, models, *link, clock);
    handler = &session;
    session.Start();
    const absl::Status result = RunEventLoop(session, inbox, clock, stop);
    if (!session.goes_on()) return result;
    options.rank = session.rank();
  }
}

// Worker and server of the same rank in one process. Rank 0 is the coordinator.
absl::Status RunColocated(Flags flags, const std::atomic<int>& stop) {
  const uint32_t rank = *flags.rank;
  ServerRole role = {.shard = rank,
                     .job = flags.job,
                     .coordinator = rank == 0 ? "" : flags.coordinator,
                     .transport = flags.transport,
                     .listen = flags.listen,
                     .port_file = flags.port_file,
                     .run_dir = flags.run_dir,
                     .report = flags.report,
                     .peer_timeout_seconds = flags.peer_timeout_seconds,
                     .checkpoint_dir = flags.checkpoint_dir,
                     .resume = flags.resume,
                     .security = flags.security};
  // One page for both: the coordinator's, or else the worker's health.
  if (rank == 0) role.http = std::exchange(flags.http, {});
  TERSE_RETURN_IF_ERROR(CheckAddresses(role));
  MemoryNetwork network;
  role.beside = &network;
  std::promise<std::string> listening;
  std::future<std::string> address = listening.get_future();
  role.listening = [&](const std::string& where) {
    listening.set_value(where);
  };
  absl::Status served;
  std::thread server([&] {
    served = RunServerRole(std::move(role), stop);
    if (!served.ok()) StopAllRoles();
  });
  absl::Status worked;
  while (address.wait_for(std::chrono::milliseconds(10)) !=
             std::future_status::ready &&
         stop.load() == 0) {
  }
  if (address.wait_for(std::chrono::seconds(0)) == std::future_status::ready) {
    const std::string beside = address.get();
    if (rank == 0) flags.coordinator = beside;
    worked = RunWorker(flags, stop, &network, beside);
    if (!worked.ok()) StopAllRoles();
  }
  server.join();
  return served.ok() ? worked : served;
}

absl::Status RunMemoryJob(const Flags& flags, const std::atomic<int>& stop) {
  TERSE_ASSIGN_OR_RETURN(const Job job, ReadJobFile(flags.job, {}));
  LocalJobOptions options;
  options.make_model = TorchModels(flags.data_dir);
  options.stop = &stop;
  options.measure_work = MeasureStepWork;
  const SystemClock clock;
  RoleMetrics metrics(MetricsRole::kCoordinator, TERSE_VERSION,
                      KernelTargetName());
  std::unique_ptr<JobObserver> observer;
  if (!flags.run_dir.empty() || !flags.http.listen.empty()) {
    TERSE_ASSIGN_OR_RETURN(
        observer, JobObserver::Create(job, flags.run_dir, TERSE_VERSION,
                                      &metrics, clock));
    options.on_event = [&observer](const nlohmann::json& event) {
      observer->OnEvent(event);
    };
  }
  std::string directory = flags.checkpoint_dir;
  if (directory.empty() && !flags.run_dir.empty()) {
    directory = flags.run_dir + "/checkpoints";
  }
  TERSE_ASSIGN_OR_RETURN(options.resume, ChooseResume(flags.resume, directory));
  TERSE_ASSIGN_OR_RETURN(options.checkpoint_directory,
                         CheckpointDirectory(directory));
  TERSE_ASSIGN_OR_RETURN(
      const std::unique_ptr<HttpServer> http,
      StartRoleHttp(flags.http, flags.security, metrics, observer.get()));
  std::optional<Job> chosen;
  const auto keep = [&](const Job& kept) {
    if (flags.run_dir.empty()) return absl::OkStatus();
    return WriteFileAtomically(flags.run_dir + "/job.yaml", PrintJob(kept));
  };
  options.on_choice = [&](const Job& next) {
    chosen = next;
    keep(next).IgnoreError();
  };
  TERSE_ASSIGN_OR_RETURN(const nlohmann::json report,
                         RunLocalJob(job, options));
  if (chosen) {
    // The same job makes these choices and no others.
    chosen->mutable_compress()->mutable_auto_()->set_check_every_seconds(0);
    TERSE_RETURN_IF_ERROR(keep(*chosen));
  }
  return WriteReport(report, flags.run_dir, flags.report);
}

absl::Status Evaluate(const Flags& flags) {
  std::vector<std::string> passed_over;
  TERSE_ASSIGN_OR_RETURN(const FoundCheckpoint checkpoint,
                         FindCheckpoint(flags.evaluate, passed_over));
  for (const std::string& line : passed_over) {
    spdlog::warn("passed over a checkpoint: {}", line);
  }
  TERSE_ASSIGN_OR_RETURN(
      const nlohmann::json result,
      EvaluateCheckpoint(checkpoint, TorchModels(flags.data_dir)));
  if (flags.json) {
    std::printf("%s\n", result.dump().c_str());
    return absl::OkStatus();
  }
  std::printf(
      "%s: step %llu, test accuracy %.2f %% of %llu samples, loss %.4f\n",
      checkpoint.folder.c_str(), result["step"].get<unsigned long long>(),
      100 * result["test_accuracy"].get<double>(),
      result["test_samples"].get<unsigned long long>(),
      result["test_loss"].get<double>());
  return absl::OkStatus();
}

// What forward, backward and the wire take here, as JSON on standard output.
absl::Status Measure(const Flags& flags) {
  TERSE_ASSIGN_OR_RETURN(const Job job,
                         ReadJobFile(flags.measure, flags.overrides));
  TERSE_ASSIGN_OR_RETURN(const Plan plan, MakePlan(job));
  TERSE_ASSIGN_OR_RETURN(const std::unique_ptr<NetworkModel> model,
                         TorchModels(flags.data_dir)(job, plan, 0));
  TERSE_ASSIGN_OR_RETURN(const ComputeTime compute,
                         MeasureCompute(job, plan, *model));
  TERSE_ASSIGN_OR_RETURN(const WireCost wire, MeasureWireCost());
  const nlohmann::json json = {{"forward_ms", compute.forward_ms},
                               {"backward_ms", compute.backward_ms},
                               {"loopback_gbit", wire.gbit},
                               {"wire_ns_per_byte", wire.ns_per_byte},
                               {"round_trip_ms", wire.round_trip_ms}};
  std::printf("%s\n", json.dump().c_str());
  return absl::OkStatus();
}

// Errors: what flags do not go together.
void CheckRole(const Flags& flags) {
  const bool mpi = flags.transport == "mpi";
  const bool alone =
      flags.memory || !flags.evaluate.empty() || !flags.measure.empty();
  // Under MPI all ranks may be given the same.
  const bool coordinates = flags.colocated && !mpi && flags.rank == 0u;
  if (flags.colocated && !mpi && !flags.rank) {
    throw CLI::ValidationError("--colocated needs --rank");
  }
  if ((alone || coordinates) != flags.coordinator.empty() ||
      (flags.memory || coordinates) != !flags.job.empty()) {
    if (flags.colocated && mpi) return;
    throw CLI::ValidationError(
        "give --coordinator, --memory and --job, --evaluate or --measure; with "
        "--colocated --job to rank 0 and --coordinator to the others");
  }
}

// With a server beside it, a worker's rank is MPI's.
absl::Status FillFromMpi(Flags& flags) {
  TERSE_ASSIGN_OR_RETURN(const RoleWorld world, StartRoleMpi(flags.mpi_ranks));
  if (!flags.colocated) return absl::OkStatus();
  flags.rank = world.rank;
  flags.listen = absl::StrCat("mpi:", world.rank);
  if (world.rank > 0) flags.job.clear();
  return absl::OkStatus();
}

int Main(int argc, char** argv) {
  Flags flags;
  CLI::App app("One worker of a Terse job.", kProgram);
  auto* coordinator = app.add_option("--coordinator", flags.coordinator,
                                     "HOST:PORT of shard 0");
  app.add_option("--rank", flags.rank,
                 "which worker this is; the coordinator chooses if not given");
  app.add_option("--data-dir", flags.data_dir, "where the data files lie");
  app.add_option("--transport", flags.transport,
                 "grpc, or mpi: the coordinator is rank 0 of mpirun")
      ->check(CLI::IsMember({"grpc", "mpi"}));
  app.add_option("--mpi-ranks", flags.mpi_ranks,
                 "how many processes MPI must have started");
  auto* memory = app.add_flag("--memory", flags.memory,
                              "runs the whole job as threads of this process");
  auto* colocated =
      app.add_flag("--colocated", flags.colocated,
                   "carries the shard of the worker's rank too; rank 0 takes "
                   "--job and the like, the others --coordinator");
  app.add_option("--listen", flags.listen,
                 "HOST:PORT, port 0 for any; with --colocated")
      ->needs(colocated);
  app.add_option("--port-file", flags.port_file,
                 "where to write the address that is listened on; with "
                 "--colocated")
      ->needs(colocated);
  app.add_option("--job", flags.job, "job file; with --memory or --colocated");
  app.add_option("--run-dir", flags.run_dir,
                 "where metrics.jsonl and report.json go; as --job");
  app.add_option("--report", flags.report,
                 "a second place for the report; as --job");
  app.add_option("--peer-timeout-seconds", flags.peer_timeout_seconds,
                 "after what silence a server is lost");
  auto* evaluate = app.add_option("--evaluate", flags.evaluate,
                                  "tests the network of this checkpoint");
  auto* measure = app.add_option(
      "--measure", flags.measure,
      "prints what forward, backward and the wire of this job file take here");
  app.add_option("--set", flags.overrides, "sets a value of the job file")
      ->expected(1)
      ->take_all()
      ->needs(measure);
  app.add_flag("--json", flags.json, "of --evaluate, JSON in place of text")
      ->needs(evaluate);
  app.add_option("--checkpoint-dir", flags.checkpoint_dir,
                 "where checkpoints go, else checkpoints/ in --run-dir; as "
                 "--job");
  app.add_option("--resume", flags.resume,
                 "never, auto or a checkpoint's path; as --job");
  AddSecurityOptions(app, flags.security);
  app.add_option("--kernel-target", flags.kernel_target,
                 "instruction set of the kernels");
  app.add_option("--http", flags.http.listen,
                 "HOST:PORT for health and metrics; with --memory the page");
  app.add_option("--http-port-file", flags.http.port_file,
                 "where to write the address of --http");
  app.add_option("--http-linger-seconds", flags.http.linger_seconds,
                 "how long the coordinator waits at its end for a last scrape "
                 "of /metrics")
      ->check(CLI::Range(0.0, 3600.0));
  app.set_version_flag("--version", TERSE_VERSION);
  coordinator->excludes(memory);
  evaluate->excludes(memory)->excludes(coordinator);
  measure->excludes(memory)->excludes(coordinator)->excludes(evaluate);
  try {
    app.parse(argc, argv);
    if (flags.transport == "mpi" && flags.coordinator.empty() &&
        flags.evaluate.empty() && flags.measure.empty()) {
      flags.coordinator = "mpi:0";
    }
    CheckRole(flags);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0
                                : static_cast<int>(ExitCode::kBadCommandLine);
  }
  StartLog(flags.memory ? "job"
           : flags.rank ? absl::StrCat("worker ", *flags.rank)
                        : "worker");
  if (!flags.measure.empty()) spdlog::set_level(spdlog::level::warn);
  const std::atomic<int>& stop = StopSignal();
  absl::Status status = ChooseKernelTarget(flags.kernel_target);
  if (status.ok() && flags.transport == "mpi") status = FillFromMpi(flags);
  if (status.ok()) {
    status = !flags.evaluate.empty()  ? Evaluate(flags)
             : !flags.measure.empty() ? Measure(flags)
             : flags.memory           ? RunMemoryJob(flags, stop)
             : flags.colocated        ? RunColocated(flags, stop)
                                      : RunWorker(flags, stop);
  }
  const int code = ExitWith(kProgram, status);
  EndRoleTransport(code == 0);
  return code;
}

}  // namespace
}  // namespace terse

int main(int argc, char** argv) {
  terse::RestartWithPassiveOpenMp(argv);
  return terse::Main(argc, argv);
}
