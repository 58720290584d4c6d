// terse-worker: one worker of a job, or with --memory a whole job as threads.
// A worker needs the coordinator's address and the token (TERSE_TOKEN); the job
// comes from the coordinator.
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "common/base/random.h"
#include "common/base/status.h"
#include "common/config/job.h"
#include "common/kernels/target.h"
#include "common/observe/role_http.h"
#include "common/transport/inbox.h"
#include "common/wire/event_loop.h"
#include "common/wire/resume.h"
#include "common/wire/role_link.h"
#include "common/wire/role_main.h"
#include "spdlog/spdlog.h"
#include "worker/data/dataset.h"
#include "worker/evaluate.h"
#include "worker/local_job.h"
#include "worker/session.h"
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
  std::string job;
  std::string run_dir;
  std::string report;
  std::string kernel_target;
  uint32_t peer_timeout_seconds = Cluster().peer_timeout_seconds();
  std::string checkpoint_dir;
  std::string evaluate;
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

uint64_t NewIncarnation() {
  return MixKey(
      {static_cast<uint64_t>(getpid()),
       static_cast<uint64_t>(
           std::chrono::steady_clock::now().time_since_epoch().count())});
}

// What the metrics take of a step.
StepMetrics MetricsOf(const StepRecord& record, const WorkerSession& session,
                      const LinkCounters& counters) {
  const Plan& plan = *session.plan();
  StepMetrics step;
  step.times = record.times;
  step.samples = record.samples;
  step.loss = record.samples > 0 ? record.loss_sum / record.samples : 0;
  step.residual_norm_ratio = record.residual_norm_ratio;
  step.wire_bytes_up = counters.bytes_sent;
  step.wire_bytes_down = counters.bytes_received;
  step.raw_bytes = (record.step + 1) * plan.ParameterCount() * sizeof(float);
  for (size_t t = 0; t < plan.tensors.size(); ++t) {
    if (plan.IsBuffer(t)) continue;
    step.payload_bytes[plan.tensors[t].codec->Describe()] +=
        session.uplink()->PayloadBytes(t);
  }
  return step;
}

absl::Status RunWorker(const Flags& flags, const std::atomic<int>& stop) {
  if (flags.transport == "mpi") {
    TERSE_RETURN_IF_ERROR(StartRoleMpi(flags.mpi_ranks).status());
  } else {
    TERSE_RETURN_IF_ERROR(CheckSecurity(flags.security, flags.coordinator));
  }
  const SystemClock clock;
  Inbox inbox(2 * kOutboxBytesMax);
  TERSE_ASSIGN_OR_RETURN(
      const std::unique_ptr<Link> link,
      MakeRoleLink(flags.transport, "", flags.security,
                   absl::Seconds(flags.peer_timeout_seconds), inbox));
  RoleMetrics metrics(MetricsRole::kWorker, TERSE_VERSION, KernelTargetName());
  WorkerSession* handler = nullptr;
  SessionOptions options = {.coordinator_address = flags.coordinator,
                            .rank = flags.rank,
                            .token = TokenFromEnvironment(),
                            .incarnation = NewIncarnation(),
                            .handle_next_event = [&] {
                              HandleNextEvent(*handler, inbox, clock, stop);
                            }};
  if (!flags.http.listen.empty()) {
    options.on_step = [&](const StepRecord& record) {
      metrics.OnStep(MetricsOf(record, *handler, link->Counters()));
    };
  }
  WorkerSession session(std::move(options), TorchModels(flags.data_dir), *link,
                        clock);
  handler = &session;
  TERSE_ASSIGN_OR_RETURN(
      const std::unique_ptr<HttpServer> http,
      StartRoleHttp(flags.http, flags.security, metrics, nullptr));
  session.Start();
  return RunEventLoop(session, inbox, clock, stop);
}

absl::Status RunMemoryJob(const Flags& flags, const std::atomic<int>& stop) {
  TERSE_ASSIGN_OR_RETURN(const Job job, ReadJobFile(flags.job, {}));
  LocalJobOptions options;
  options.make_model = TorchModels(flags.data_dir);
  options.stop = &stop;
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
  TERSE_ASSIGN_OR_RETURN(const nlohmann::json report,
                         RunLocalJob(job, options));
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
  app.add_option("--job", flags.job, "job file; with --memory")->needs(memory);
  app.add_option("--run-dir", flags.run_dir,
                 "where metrics.jsonl and report.json go; with --memory")
      ->needs(memory);
  app.add_option("--report", flags.report,
                 "a second place for the report; with --memory")
      ->needs(memory);
  app.add_option("--peer-timeout-seconds", flags.peer_timeout_seconds,
                 "after what silence a server is lost");
  auto* evaluate = app.add_option("--evaluate", flags.evaluate,
                                  "tests the network of this checkpoint");
  app.add_flag("--json", flags.json, "of --evaluate, JSON in place of text")
      ->needs(evaluate);
  app.add_option("--checkpoint-dir", flags.checkpoint_dir,
                 "where checkpoints go, else checkpoints/ in --run-dir; with "
                 "--memory")
      ->needs(memory);
  app.add_option("--resume", flags.resume,
                 "never, auto or a checkpoint's path; with --memory")
      ->needs(memory);
  AddSecurityOptions(app, flags.security);
  app.add_option("--kernel-target", flags.kernel_target,
                 "instruction set of the kernels");
  app.add_option("--http", flags.http.listen,
                 "HOST:PORT for health and metrics; with --memory the page");
  app.add_option("--http-port-file", flags.http.port_file,
                 "where to write the address of --http");
  app.set_version_flag("--version", TERSE_VERSION);
  coordinator->excludes(memory);
  evaluate->excludes(memory)->excludes(coordinator);
  try {
    app.parse(argc, argv);
    if (flags.transport == "mpi" && flags.coordinator.empty() &&
        flags.evaluate.empty()) {
      flags.coordinator = "mpi:0";
    }
    const bool alone = flags.memory || !flags.evaluate.empty();
    if (flags.memory == flags.job.empty() ||
        alone != flags.coordinator.empty()) {
      throw CLI::ValidationError(
          "give --coordinator, --memory and --job, or --evaluate");
    }
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0
                                : static_cast<int>(ExitCode::kBadCommandLine);
  }
  StartLog(flags.memory ? "job"
           : flags.rank ? absl::StrCat("worker ", *flags.rank)
                        : "worker");
  const std::atomic<int>& stop = StopSignal();
  absl::Status status = ChooseKernelTarget(flags.kernel_target);
  if (status.ok()) {
    status = !flags.evaluate.empty() ? Evaluate(flags)
             : flags.memory          ? RunMemoryJob(flags, stop)
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
