// The `terse` command.
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "common/base/status.h"
#include "common/checkpoint/checkpoint.h"
#include "common/config/job.h"
#include "common/plan/plan.h"
#include "deploy/launch/advise.h"
#include "deploy/launch/bench_command.h"
#include "deploy/launch/bench_plot.h"
#include "deploy/launch/doctor.h"
#include "deploy/launch/export.h"
#include "deploy/launch/inspect.h"
#include "deploy/launch/kubernetes_launch.h"
#include "deploy/launch/roles.h"
#include "deploy/launch/run.h"
#include "deploy/launch/status.h"
#include "deploy/launch/tls.h"
#include "deploy/launch/train.h"

namespace terse {
namespace {

struct Flags {
  TrainOptions train;
  RunOptions run;
  BenchCodecOptions bench;
  BenchPlotOptions plot;
  AdviseOptions advise;
  AdviseOptions plan;
  DoctorOptions doctor;
  ExportOptions exported;
  EvalOptions eval;
  KubernetesLaunch kubernetes;
  StatusOptions status;
  ReportOptions report;
  TlsOptions tls;
  std::string servers;
  uint32_t workers = 0;
  std::string transport;
  double grace_seconds = 30;
  std::vector<std::string> overrides;
  bool json = false;
};

void AddOverrides(CLI::App& command, Flags& flags) {
  command
      .add_option("--set", flags.overrides,
                  "Sets a value of the job: --set train.epochs=3")
      ->type_name("KEY=VALUE")
      ->expected(1)
      ->take_all();
}

// What `train` and `launch` have in common.
void AddTrainOptions(CLI::App& train, Flags& flags) {
  train.add_option("job", flags.train.job_path, "The job file (YAML)")
      ->required()
      ->type_name("JOB.yaml");
  train
      .add_option("--servers", flags.servers,
                  "Server processes (shards), or colocated: one in each "
                  "worker's process")
      ->type_name("S");
  train.add_option("--workers", flags.workers, "Worker processes")
      ->type_name("N");
  AddOverrides(train, flags);
  train
      .add_option("--data-dir", flags.train.data_directory,
                  "Where the data files lie")
      ->type_name("DIR");
  train
      .add_option("--run-dir", flags.train.run_directory,
                  "Keeps the run here; else runs/NAME-TIME-PID")
      ->type_name("DIR");
  train
      .add_option("--report", flags.train.report_path,
                  "Writes the report here too (JSON)")
      ->type_name("FILE");
  train
      .add_option("--resume", flags.train.resume,
                  "never; auto: from the newest checkpoint in --run-dir, if "
                  "there is one; or the path of a run or checkpoint")
      ->type_name("auto|PATH|never");
  train
      .add_option("--max-restarts", flags.train.restarts_max,
                  "How often each role is started again when it is lost")
      ->type_name("N")
      ->capture_default_str();
  train
      .add_option("--kernel-target", flags.train.kernel_target,
                  "Instruction set of Terse's kernels; else the best here")
      ->type_name("NAME");
  train
      .add_option("--grace-seconds", flags.grace_seconds,
                  "Time from SIGTERM to SIGKILL for processes being stopped")
      ->type_name("SECONDS")
      ->check(CLI::Range(0.0, 86400.0))
      ->capture_default_str();
  AddSecurityOptions(train, flags.train.security);
  train.add_flag("--print-job", flags.train.print_job,
                 "Prints the job with all defaults and overrides, and ends");
  train.add_flag("--dry-run", flags.train.dry_run,
                 "Prints what would be started, and ends");
}

void AddTrain(CLI::App& app, Flags& flags) {
  CLI::App& train = *app.add_subcommand(
      "train",
      "Runs a whole job on this machine and stops all of it at the end");
  AddTrainOptions(train, flags);
  train
      .add_option("--transport", flags.transport,
                  "How the roles talk; memory: threads of one process")
      ->check(CLI::IsMember({"grpc", "memory"}));
  train
      .add_option("--http", flags.train.http,
                  "Where the status page is; none: nowhere")
      ->type_name("HOST:PORT")
      ->capture_default_str();
}

void AddLaunch(CLI::App& app, Flags& flags) {
  CLI::App& launch = *app.add_subcommand(
      "launch",
      "Runs a whole job on the machines of a hostfile, over ssh; all of them "
      "see this folder. Or makes manifests of it for Kubernetes");
  AddTrainOptions(launch, flags);
  launch
      .add_option("--hostfile", flags.train.hostfile,
                  "Lines \"host slots=N\" or \"host:N\": N workers go there")
      ->type_name("FILE");
  AddKubernetes(launch, flags.kubernetes);
  launch
      .add_option("--agent", flags.train.agent,
                  "Called with a host and a command line for its shell")
      ->type_name("COMMAND")
      ->capture_default_str();
  launch.add_flag("--tee", flags.train.tee,
                  "Shows what the roles write: host:role:rank: line");
}

void AddInspect(CLI::App& app, Flags& flags) {
  CLI::App& inspect = *app.add_subcommand(
      "inspect", "Shows a job's parameters and what happens to each of them");
  inspect
      .add_option("job", flags.train.job_path,
                  "The job file (YAML), or a checkpoint or run")
      ->required()
      ->type_name("JOB.yaml|CHECKPOINT");
  AddOverrides(inspect, flags);
  inspect.add_flag("--json", flags.json, "JSON in place of tables");
}

int TrainCommand(const CLI::App& command, Flags& flags) {
  TrainOptions& options = flags.train;
  options.overrides = flags.overrides;
  if (command.count("--servers") > 0) {
    options.overrides.push_back(
        absl::StrCat("cluster.servers=", flags.servers));
  }
  if (command.count("--workers") > 0) {
    options.overrides.push_back(
        absl::StrCat("cluster.workers=", flags.workers));
  }
  if (!flags.transport.empty()) {
    options.overrides.push_back(
        absl::StrCat("cluster.transport=", flags.transport));
  }
  if (command.get_name() == "launch" &&
      flags.kubernetes.wanted != options.hostfile.empty()) {
    absl::FPrintF(stderr,
                  "terse: launch: give --hostfile FILE, or --kubernetes\n");
    return int(ExitCode::kBadCommandLine);
  }
  if (flags.kubernetes.wanted) {
    return LaunchOnKubernetes(options.job_path, options.overrides,
                              flags.kubernetes);
  }
  options.grace =
      std::chrono::milliseconds(int64_t(1000 * flags.grace_seconds));
  return RunTrain(options);
}

// That of a checkpoint is shown with a word about the checkpoint.
absl::StatusOr<Job> InspectedJob(const Flags& flags) {
  const std::string& path = flags.train.job_path;
  if (!IsCheckpointPath(path)) return ReadJobFile(path, flags.overrides);
  if (!flags.json) {
    TERSE_ASSIGN_OR_RETURN(const std::string text, DescribeCheckpoint(path));
    absl::PrintF("%s\n", text);
  }
  std::vector<std::string> passed_over;
  TERSE_ASSIGN_OR_RETURN(const FoundCheckpoint checkpoint,
                         FindCheckpoint(path, passed_over));
  return ParseJob(checkpoint.manifest.job_yaml,
                  checkpoint.folder + "/manifest.json", flags.overrides);
}

absl::Status Inspect(const Flags& flags) {
  TERSE_ASSIGN_OR_RETURN(const Job job, InspectedJob(flags));
  TERSE_ASSIGN_OR_RETURN(const Plan plan, MakePlan(job));
  const std::string text =
      flags.json ? InspectJson(job, plan) : InspectText(job, plan);
  absl::PrintF("%s%s", text, text.ends_with('\n') ? "" : "\n");
  return absl::OkStatus();
}

int InspectCommand(const Flags& flags) {
  const absl::Status status = Inspect(flags);
  if (!status.ok()) {
    absl::FPrintF(stderr, "terse: %s\n", status.message());
  }
  return int(ExitCodeOf(status));
}

// The program beside this one that links transports. Returns only if it cannot
// be started.
int BecomeCommBench(std::vector<std::string> arguments) {
  const absl::StatusOr<std::string> binaries = FindBinaries();
  if (!binaries.ok()) {
    absl::FPrintF(stderr, "terse: %s\n", binaries.status().message());
    return int(ExitCodeOf(binaries.status()));
  }
  arguments.insert(arguments.begin(), absl::StrCat(*binaries, "/terse-comm"));
  std::vector<char*> pointers;
  for (std::string& argument : arguments) pointers.push_back(argument.data());
  pointers.push_back(nullptr);
  execv(pointers[0], pointers.data());
  absl::FPrintF(stderr, "terse: cannot start %s: %s\n", arguments[0],
                strerror(errno));
  return int(ExitCode::kInputMissing);
}

// Edits (insert, delete, replace a letter) from `a` to `b`.
size_t EditDistance(const std::string& a, const std::string& b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = std::exchange(row[0], i);
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t replaced = diagonal + (a[i - 1] != b[j - 1]);
      diagonal = row[j];
      row[j] = std::min({replaced, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row[b.size()];
}

// The flag or command that `word` was likely meant to be; empty: none is near.
std::string NearestName(const CLI::App& command, const std::string& word) {
  std::vector<std::string> names;
  for (const CLI::Option* option : command.get_options()) {
    for (const std::string& name : option->get_lnames()) {
      names.push_back(absl::StrCat("--", name));
    }
  }
  for (const CLI::App* sub : command.get_subcommands(nullptr)) {
    names.push_back(sub->get_name());
  }
  std::string nearest;
  size_t best = 4;
  for (const std::string& name : names) {
    const size_t distance = EditDistance(word.substr(0, word.find('=')), name);
    if (distance < best && distance <= name.size() / 2) {
      best = distance;
      nearest = name;
    }
  }
  return nearest;
}

int BadCommandLine(const CLI::App& app, std::string what,
                   const std::vector<std::string>& words) {
  const CLI::App* command = &app;
  std::string help = "terse";
  while (!command->get_subcommands().empty()) {
    command = command->get_subcommands().front();
    absl::StrAppend(&help, " ", command->get_name());
  }
  if (command == &app && !words.empty() && !words.front().starts_with('-')) {
    what = absl::StrCat("there is no command ", words.front());
  }
  std::string nearest;
  for (const std::string& word : words) {
    if (what.find(word) == std::string::npos) continue;
    nearest = NearestName(*command, word);
    if (!nearest.empty()) break;
  }
  absl::FPrintF(stderr, "terse: %s\n",
                absl::StrReplaceAll(what, {{"\n", "; "}}));
  if (!nearest.empty()) {
    absl::FPrintF(stderr, "  did you mean %s? ", nearest);
  } else {
    absl::FPrintF(stderr, "  ");
  }
  absl::FPrintF(stderr, "`%s --help` lists what there is\n", help);
  return int(ExitCode::kBadCommandLine);
}

int Main(int argc, char** argv) {
  CLI::App app("Trains quantized networks with compressed gradients.", "terse");
  app.set_version_flag("--version", "terse " TERSE_VERSION);
  app.require_subcommand(1);
  Flags flags;
  flags.train.command_line.assign(argv, argv + argc);
  flags.run.command_line = flags.train.command_line;
  AddTrain(app, flags);
  AddLaunch(app, flags);
  AddRun(app, flags.run);
  AddInspect(app, flags);
  AddEval(app, flags.eval);
  AddExport(app, flags.exported);
  flags.bench.version = TERSE_VERSION;
  CLI::App& bench = AddBench(app, flags.bench);
  AddBenchPlot(bench, flags.plot);
  AddAdvise(bench, flags.advise);
  AddPlan(app, flags.plan);
  flags.doctor.version = TERSE_VERSION;
  AddDoctor(app, flags.doctor);
  AddTls(app, flags.tls);
  AddStatus(app, flags.status);
  AddReport(app, flags.report);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);
    return BadCommandLine(app, error.what(), {argv + 1, argv + argc});
  }
  const CLI::App& command = *app.get_subcommands().front();
  if (command.get_name() == "doctor") return RunDoctor(flags.doctor);
  if (command.get_name() == "plan") return RunPlan(flags.plan);
  if (command.get_name() == "run") return RunOneProcess(flags.run);
  if (command.get_name() == "eval") return RunEval(flags.eval);
  if (command.get_name() == "export") return RunExport(flags.exported);
  if (command.get_name() == "bench") {
    const CLI::App& what = *command.get_subcommands().front();
    if (what.get_name() == "comm") return BecomeCommBench(what.remaining());
    if (what.get_name() == "advise") return RunAdvise(flags.advise);
    if (what.get_name() == "plot") return RunBenchPlot(flags.plot);
    return RunBenchCodec(flags.bench);
  }
  if (command.get_name() == "tls") return RunTls(flags.tls);
  if (command.get_name() == "status") return RunStatus(flags.status);
  if (command.get_name() == "report") return RunReport(flags.report);
  return command.get_name() == "inspect" ? InspectCommand(flags)
                                         : TrainCommand(command, flags);
}

}  // namespace
}  // namespace terse

int main(int argc, char** argv) { return terse::Main(argc, argv); }
