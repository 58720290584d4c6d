#include "deploy/launch/train.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <thread>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "absl/time/clock.h"
#include "common/base/status.h"
#include "common/base/string_view.h"
#include "common/checkpoint/checkpoint.h"
#include "common/checkpoint/members.h"
#include "common/config/job.h"
#include "common/plan/plan.h"
#include "deploy/launch/format.h"
#include "deploy/launch/inspect.h"
#include "deploy/launch/line_tail.h"
#include "deploy/launch/progress.h"
#include "deploy/launch/remote_hosts.h"
#include "deploy/launch/roles.h"
#include "deploy/launch/run_directory.h"
#include "deploy/launch/summary.h"
#include "deploy/launch/supervise.h"

namespace terse {
namespace {

using std::chrono::steady_clock;
using Milliseconds = Supervisor::Milliseconds;

// Until all roles run a start should take no longer than it must; later ten
// looks a second at the metrics are more than an eye can use.
constexpr Milliseconds kStartPeriod(10);
constexpr Milliseconds kRunPeriod(100);

// Before a role is started again: the first time, and at most.
constexpr Milliseconds kBackOffFirst(200);
constexpr Milliseconds kBackOffMax(30'000);

// For those that know that another role was lost.
constexpr Milliseconds kFailureGrace(2'000);

bool IsMemory(const Job& job) {
  return job.cluster().transport() == Cluster::MEMORY;
}

// "host:role:rank: line".
std::string TeeLine(const Role& role, std::string_view line) {
  return absl::StrCat(role.host.empty() ? "localhost" : role.host, ":",
                      absl::StrReplaceAll(role.name, {{" ", ":"}}), ": ",
                      ToAbsl(line));
}

Milliseconds BackOff(uint32_t restarts) {
  return std::min(kBackOffMax, kBackOffFirst * (1 << std::min(restarts, 10u)));
}

// One run from its directory to its report.
class TrainRun {
 public:
  TrainRun(Job job, const Plan& plan, RoleOptions roles,
           std::optional<RemoteHosts> hosts, const TrainOptions& options)
      : job_(std::move(job)),
        roles_(std::move(roles)),
        hosts_(std::move(hosts)),
        options_(options),
        replaces_workers_(TakesReplacements(job_, plan)),
        printer_(stderr, ProgressPrinter::CanRedraw(stderr),
                 ProgressPrinter::CanColour(stderr)),
        metrics_(absl::StrCat(roles_.run_directory, "/metrics.jsonl")) {}

  absl::StatusOr<int> Run();

 private:
  absl::StatusOr<Outcome> RunOnce();
  // Whether the rest of the job waits for another process in a lost worker's
  // place, or goes on without; says so.
  Supervisor::Loss Lose(const Role& role, const std::string& what,
                        bool was_ended);
  // Kills those that the job has lost and that neither end nor come back: only
  // then can another take their place.
  void KillThoseThatHang();
  void KillIfItHangs(const std::string& kind, uint32_t rank);
  void KillCoordinatorIfItHangs();
  // Ends `name`, of which nothing is known since `since`.
  void KillAfterTimeout(const std::string& name,
                        steady_clock::time_point since);
  bool Replaces(const Role& role, bool was_ended) const;
  // Who comes in the coordinator's place, where the others look for it.
  Role NextCoordinator();
  ProgressState::Change ReadMetrics();
  // Whether the job is to be started again after this; says so.
  bool Restarts(const Outcome& outcome);
  absl::StatusOr<Milliseconds> Tick();
  absl::Status StartOthersWhenReady();
  absl::Status Start(const Role& role) {
    return supervisor_->Start(hosts_ ? hosts_->Place(role) : role);
  }
  void TellPageWhenReady();
  absl::Status Finish();
  double NowSeconds() const {
    return std::chrono::duration<double>(steady_clock::now() - start_).count();
  }

  const Job job_;
  RoleOptions roles_;
  const std::optional<RemoteHosts> hosts_;
  const TrainOptions& options_;
  const bool replaces_workers_;
  const steady_clock::time_point start_ = steady_clock::now();
  ProgressPrinter printer_;
  ProgressState state_;
  LineTail metrics_;
  std::unique_ptr<Supervisor> supervisor_;
  bool all_started_ = false;
  std::string coordinator_address_;
  double attempt_seconds_ = 0;                // When this attempt began.
  std::map<std::string, uint32_t> restarts_;  // By role.
  std::map<std::string, steady_clock::time_point> lost_since_;  // By role.
  // What the coordinator touched its file at, and since when that is known.
  std::filesystem::file_time_type coordinator_sign_;
  steady_clock::time_point coordinator_sign_since_;
  bool page_told_ = false;
};

absl::StatusOr<int> TrainRun::Run() {
  const Cluster& cluster = job_.cluster();
  printer_.Say(absl::StrCat(
      "terse: ", job_.name(), ": ", FormatCount(ServerCount(job_), "server"),
      " and ", FormatCount(cluster.workers(), "worker"),
      IsColocated(job_) ? ", one in each worker's process" : "",
      IsMemory(job_) ? " in one process" : " over gRPC", "; files in ",
      roles_.run_directory, "/"));
  metrics_.Skip();
  while (true) {
    TERSE_ASSIGN_OR_RETURN(const Outcome outcome, RunOnce());
    printer_.Clear();
    if (outcome.exit_code == 0) {
      if (!outcome.message.empty()) {
        printer_.Say(absl::StrCat("terse: ", outcome.message));
      }
      break;
    }
    if (Restarts(outcome)) continue;
    printer_.Say(absl::StrCat("terse: ", outcome.message));
    std::vector<std::string> passed_over;
    const std::string folder =
        absl::StrCat(roles_.run_directory, "/checkpoints");
    if (const auto checkpoint = NewestCheckpoint(folder, passed_over)) {
      printer_.Say(absl::StrFormat(
          "terse: it can go on from step %d: terse train %s --resume %s",
          checkpoint->manifest.version, options_.job_path,
          roles_.run_directory));
    }
    return outcome.exit_code;
  }
  TERSE_RETURN_IF_ERROR(Finish());
  return 0;
}

absl::StatusOr<Outcome> TrainRun::RunOnce() {
  attempt_seconds_ = NowSeconds();
  all_started_ = false;
  std::error_code error;
  std::filesystem::remove(PortFile(roles_.run_directory), error);
  supervisor_.reset();
  TERSE_ASSIGN_OR_RETURN(
      supervisor_,
      Supervisor::Create(
          options_.grace,
          [this](std::string_view line) {
            printer_.Say(absl::StrCat("terse: ", ToAbsl(line)));
          },
          options_.restarts_max > 0 ? kFailureGrace : options_.grace));
  supervisor_->set_lose(
      [this](const Role& role, const std::string& what, bool was_ended) {
        return Lose(role, what, was_ended);
      });
  if (options_.tee) {
    supervisor_->set_tee([this](const Role& role, std::string_view line) {
      printer_.Say(TeeLine(role, line));
    });
  }
  if (IsMemory(job_)) {
    all_started_ = true;
    TERSE_RETURN_IF_ERROR(supervisor_->Start(MemoryRole(job_, roles_)));
  } else {
    state_.servers = ServerCount(job_);
    state_.workers = job_.cluster().workers();
    TERSE_RETURN_IF_ERROR(Start(CoordinatorRole(job_, roles_)));
  }
  return supervisor_->Run([this] { return Tick(); });
}

Supervisor::Loss TrainRun::Lose(const Role& role, const std::string& what,
                                bool was_ended) {
  const bool worker = role.name.starts_with("worker");
  const bool replaces = Replaces(role, was_ended);
  // The coordinator may have said its last.
  ReadMetrics();
  if (state_.phase != ProgressState::Phase::kTraining ||
      !(worker || replaces)) {
    return {};
  }
  const uint32_t restarts = restarts_[role.name];
  if (!replaces || restarts >= options_.restarts_max) {
    if (!worker || !ContinuesWithout(job_)) return {};
    printer_.Say(absl::StrFormat("terse: %s %s; the job goes on without it",
                                 role.name, what));
    return {.job_goes_on = true};
  }
  ++restarts_[role.name];
  const Milliseconds wait = BackOff(restarts);
  printer_.Say(absl::StrFormat(
      "terse: %s %s; another takes its %s in %.1f s (restart %d of %d of "
      "this role)",
      role.name, what, worker ? "rank" : "place",
      std::chrono::duration<double>(wait).count(), restarts + 1,
      options_.restarts_max));
  Supervisor::Loss loss = {.job_goes_on = true, .replaced_after = wait};
  if (role.coordinator) loss.replacement = NextCoordinator();
  return loss;
}

bool TrainRun::Replaces(const Role& role, bool was_ended) const {
  if (role.name.starts_with("worker")) return replaces_workers_;
  // A coordinator that ends by itself has ended the job.
  return job_.cluster().replicas() > 0 && (was_ended || !role.coordinator);
}

Role TrainRun::NextCoordinator() {
  RoleOptions options = roles_;
  options.coordinator_address = coordinator_address_;
  // If its mirror turns out to be lost too.
  options.resume = "auto";
  std::error_code error;
  std::filesystem::remove(HttpPortFile(roles_.run_directory), error);
  page_told_ = false;
  const Role role = CoordinatorRole(job_, options);
  return hosts_ ? hosts_->Place(role) : role;
}

bool TrainRun::Restarts(const Outcome& outcome) {
  if (outcome.lost_role.empty()) return false;
  const uint32_t restarts = restarts_[outcome.lost_role];
  if (restarts >= options_.restarts_max) return false;
  ++restarts_[outcome.lost_role];
  const Milliseconds wait = BackOff(restarts);
  printer_.Say(absl::StrFormat(
      "terse: %s; the job goes on from its last checkpoint in %.1f s (restart "
      "%d of %d of this role)",
      outcome.loss, std::chrono::duration<double>(wait).count(), restarts + 1,
      options_.restarts_max));
  std::this_thread::sleep_for(wait);
  roles_.resume = "auto";
  return true;
}

absl::StatusOr<Milliseconds> TrainRun::Tick() {
  if (!all_started_) TERSE_RETURN_IF_ERROR(StartOthersWhenReady());
  if (!page_told_ && !roles_.http.empty()) TellPageWhenReady();
  const ProgressState::Change change = ReadMetrics();
  if (change != ProgressState::Change::kEvaluation) {
    printer_.Show(state_, change, NowSeconds());
  }
  KillThoseThatHang();
  return all_started_ ? kRunPeriod : kStartPeriod;
}

ProgressState::Change TrainRun::ReadMetrics() {
  ProgressState::Change change = ProgressState::Change::kNothing;
  metrics_.Poll([&](std::string_view line) {
    change = state_.Apply(line);
    if (change == ProgressState::Change::kEvaluation) {
      printer_.Show(state_, change, NowSeconds());
    }
  });
  return change;
}

void TrainRun::KillThoseThatHang() {
  if (state_.phase != ProgressState::Phase::kTraining) {
    lost_since_.clear();
    return;
  }
  for (uint32_t rank = 0; rank < job_.cluster().workers(); ++rank) {
    KillIfItHangs("worker", rank);
  }
  if (job_.cluster().replicas() == 0) return;
  KillCoordinatorIfItHangs();
  for (uint32_t s = 1; s < ServerCount(job_); ++s) KillIfItHangs("server", s);
}

void TrainRun::KillCoordinatorIfItHangs() {
  std::error_code error;
  const auto sign =
      std::filesystem::last_write_time(PortFile(roles_.run_directory), error);
  if (error || sign != coordinator_sign_) {
    coordinator_sign_ = sign;
    coordinator_sign_since_ = steady_clock::now();
    return;
  }
  KillAfterTimeout("server 0", coordinator_sign_since_);
}

void TrainRun::KillIfItHangs(const std::string& kind, uint32_t rank) {
  const std::string name = absl::StrCat(kind, " ", rank);
  if (state_.joined.contains({kind, rank})) {
    lost_since_.erase(name);
    return;
  }
  KillAfterTimeout(
      name, lost_since_.emplace(name, steady_clock::now()).first->second);
}

void TrainRun::KillAfterTimeout(const std::string& name,
                                steady_clock::time_point since) {
  const std::chrono::seconds timeout(job_.cluster().peer_timeout_seconds());
  if (steady_clock::now() - since < timeout ||
      !supervisor_->Kill(name, since)) {
    return;
  }
  printer_.Say(
      absl::StrCat("terse: ", name, " is lost and does not end: killed it"));
}

absl::Status TrainRun::StartOthersWhenReady() {
  const absl::StatusOr<std::string> address =
      ReadFile(PortFile(roles_.run_directory));
  if (!address.ok()) {
    if (NowSeconds() - attempt_seconds_ <
        job_.cluster().join_timeout_seconds()) {
      return absl::OkStatus();
    }
    return WithExitCode(
        absl::DeadlineExceededError(absl::StrFormat(
            "server 0 opened no port within cluster.join_timeout_seconds = %d; "
            "see %s/logs/",
            job_.cluster().join_timeout_seconds(), roles_.run_directory)),
        ExitCode::kPeerNeverCame);
  }
  state_.joined.insert({"server", 0});
  coordinator_address_ = std::string(absl::StripAsciiWhitespace(*address));
  for (const Role& role : OtherRoles(job_, roles_, coordinator_address_)) {
    TERSE_RETURN_IF_ERROR(Start(role));
  }
  all_started_ = true;
  return absl::OkStatus();
}

void TrainRun::TellPageWhenReady() {
  const absl::StatusOr<std::string> address =
      ReadFile(HttpPortFile(roles_.run_directory));
  if (!address.ok()) return;
  page_told_ = true;
  printer_.Say(
      absl::StrCat("terse: status page at ",
                   options_.security.tls_directory.empty() ? "http" : "https",
                   "://", absl::StripAsciiWhitespace(*address), "/"));
}

absl::Status TrainRun::Finish() {
  const std::string path = absl::StrCat(roles_.run_directory, "/report.json");
  const absl::StatusOr<std::string> report = ReadFile(path);
  if (!report.ok()) {
    return WithExitCode(
        absl::InternalError(absl::StrCat("the job ended well but left no ",
                                         path, "; see the logs beside it")),
        ExitCode::kInternal);
  }
  const absl::StatusOr<std::string> summary =
      SummaryText(*report, roles_.run_directory);
  if (!summary.ok()) return Annotate(summary.status(), path);
  std::fputs(summary->c_str(), stdout);
  std::fflush(stdout);
  if (options_.report_path.empty()) return absl::OkStatus();
  return WriteFile(options_.report_path, *report);
}

void PrintDryRun(const Job& job, const Plan& plan, const RoleOptions& roles,
                 const std::optional<RemoteHosts>& hosts) {
  std::fputs(PlanText(job, plan).c_str(), stdout);
  std::fputs("\nProcesses\n", stdout);
  std::vector<Role> all;
  if (IsMemory(job)) {
    all.push_back(MemoryRole(job, roles));
  } else {
    all = OtherRoles(job, roles, "ADDRESS");
    all.insert(all.begin(), CoordinatorRole(job, roles));
  }
  for (const Role& local : all) {
    const Role role = hosts ? hosts->Place(local) : local;
    absl::PrintF("%s%s\n", role.name,
                 role.host.empty() ? "" : absl::StrCat(" on ", role.host));
    for (const auto& [name, value] : role.process.environment) {
      absl::PrintF("  %s=%s\n", name, value);
    }
    absl::PrintF("  %s\n", ShellLine(role.process.arguments));
  }
}

// Whether it is this command that runs such a job, with all that it needs.
absl::Status CheckCommand(const TrainOptions& options, const Job& job) {
  if (job.cluster().transport() == Cluster::MPI) {
    return WithExitCode(
        absl::InvalidArgumentError(absl::StrFormat(
            "cluster.transport: mpi needs MPI's launcher: mpirun -np %d terse "
            "run %s",
            ProcessCount(job), options.job_path)),
        ExitCode::kBadCommandLine);
  }
  if (options.resume == "auto" && options.run_directory.empty()) {
    return WithExitCode(
        absl::InvalidArgumentError(
            "--resume auto goes on in a run directory: give --run-dir, or "
            "--resume with the path of a run or checkpoint"),
        ExitCode::kBadCommandLine);
  }
  return absl::OkStatus();
}

absl::StatusOr<int> TrainJob(const TrainOptions& options) {
  TERSE_ASSIGN_OR_RETURN(Job job,
                         ReadJobFile(options.job_path, options.overrides));
  if (options.print_job) {
    std::fputs(PrintJob(job).c_str(), stdout);
    return 0;
  }
  TERSE_RETURN_IF_ERROR(CheckCommand(options, job));
  // Nothing starts for a job whose model does not fit together.
  TERSE_ASSIGN_OR_RETURN(const Plan plan, MakePlan(job));
  TERSE_RETURN_IF_ERROR(CheckDataDirectory(options.data_directory));
  RoleOptions roles;
  TERSE_ASSIGN_OR_RETURN(roles.binary_directory, FindBinaries());
  roles.data_directory = options.data_directory;
  roles.kernel_target = options.kernel_target;
  std::optional<RemoteHosts> hosts;
  if (!options.hostfile.empty()) {
    TERSE_ASSIGN_OR_RETURN(hosts, RemoteHosts::Make(job, options));
    roles.server_hosts = IsColocated(job) ? hosts->placement().workers
                                          : hosts->placement().servers;
  }
  // Loopback of another machine is of no use here.
  if (options.http != "none" && options.hostfile.empty()) {
    roles.http = options.http;
  }
  roles.security = options.security;
  TERSE_RETURN_IF_ERROR(CheckTlsFiles(roles.security.tls_directory));
  for (const std::string& host : roles.server_hosts) {
    TERSE_RETURN_IF_ERROR(
        CheckSecurity(roles.security, absl::StrCat(host, ":0")));
  }
  if (options.dry_run) {
    roles.run_directory =
        options.run_directory.empty() ? "RUN" : options.run_directory;
    if (hosts) hosts->set_run_directory(roles.run_directory);
    roles.token = "(random)";
    PrintDryRun(job, plan, roles, hosts);
    return 0;
  }
  if (!options.report_path.empty()) {
    TERSE_RETURN_IF_ERROR(CheckWritable(options.report_path));
  }
  TERSE_ASSIGN_OR_RETURN(roles.token, MakeToken());
  const absl::Time now = absl::Now();
  TERSE_ASSIGN_OR_RETURN(roles.run_directory,
                         MakeRunDirectory(options.run_directory, job.name(),
                                          now, options.resume == "auto"));
  if (options.resume != "never") roles.resume = options.resume;
  TERSE_RETURN_IF_ERROR(KeepCommand(roles.run_directory, PrintJob(job),
                                    options.command_line, now));
  if (hosts) {
    hosts->set_run_directory(roles.run_directory);
    TERSE_RETURN_IF_ERROR(hosts->WriteToken(roles.token));
  }
  const absl::StatusOr<int> code =
      TrainRun(std::move(job), plan, std::move(roles), hosts, options).Run();
  if (hosts) hosts->RemoveToken();
  return code;
}

}  // namespace

int RunTrain(const TrainOptions& options) {
  const absl::StatusOr<int> code = TrainJob(options);
  if (code.ok()) return *code;
  absl::FPrintF(stderr, "terse: %s\n", code.status().message());
  return int(ExitCodeOf(code.status()));
}

}  // namespace terse
