#include "deploy/launch/roles.h"

#include <sys/random.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <filesystem>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/config/job.h"

namespace terse {
namespace {

using Environment = std::vector<std::pair<std::string, std::string>>;

std::string JobFile(const RoleOptions& options) {
  return absl::StrCat(options.run_directory, "/job.yaml");
}

// A socket's path has 107 bytes; a longer one cannot be listened on.
constexpr size_t kSocketPathBytesMax = 100;

// Roles on one machine talk through sockets in their run directory: cheaper
// than loopback TCP, and no port that others can reach.
std::string ListenAddress(const RoleOptions& options, uint32_t shard) {
  if (shard == 0 && !options.coordinator_address.empty()) {
    return options.coordinator_address;
  }
  if (!options.server_hosts.empty()) {
    const std::string& host = options.server_hosts[shard];
    const bool v6 = host.find(':') != std::string::npos;
    return v6 ? absl::StrCat("[", host, "]:0") : absl::StrCat(host, ":0");
  }
  std::string path =
      absl::StrCat(options.run_directory, "/server-", shard, ".socket");
  if (path.size() > kSocketPathBytesMax) return "127.0.0.1:0";
  return absl::StrCat("unix:", path);
}

Role MakeRole(const RoleOptions& options, const std::string& kind,
              uint32_t rank, std::vector<std::string> arguments) {
  Role role;
  role.name = absl::StrCat(kind, " ", rank);
  role.log_path =
      absl::StrCat(options.run_directory, "/logs/", kind, "-", rank, ".log");
  if (!options.kernel_target.empty()) {
    arguments.insert(arguments.end(),
                     {"--kernel-target", options.kernel_target});
  }
  const std::vector<std::string> security = SecurityFlags(options.security);
  arguments.insert(arguments.end(), security.begin(), security.end());
  role.process.arguments = std::move(arguments);
  // By environment: command lines are there for every user of the machine to
  // read.
  role.process.environment = {{"TERSE_TOKEN", options.token}};
  return role;
}

void SetThreads(const Job& job, Role& role) {
  const Environment threads = WorkerEnvironment(job);
  role.process.environment.insert(role.process.environment.end(),
                                  threads.begin(), threads.end());
}

void AddResume(const RoleOptions& options, Role& role) {
  if (options.resume.empty()) return;
  std::vector<std::string>& arguments = role.process.arguments;
  arguments.insert(arguments.end(), {"--resume", options.resume});
}

// Of shard 0 the job says.
void AddPeerTimeout(const Job& job, std::vector<std::string>& arguments) {
  const Cluster& cluster = job.cluster();
  if (!cluster.has_peer_timeout_seconds()) return;
  arguments.insert(
      arguments.end(),
      {"--peer-timeout-seconds", absl::StrCat(cluster.peer_timeout_seconds())});
}

void AddPage(const RoleOptions& options, Role& role) {
  if (options.http.empty()) return;
  std::vector<std::string>& arguments = role.process.arguments;
  arguments.insert(arguments.end(), {"--http", options.http, "--http-port-file",
                                     HttpPortFile(options.run_directory)});
}

void AddDataDirectory(const RoleOptions& options,
                      std::vector<std::string>& arguments) {
  if (options.data_directory.empty()) return;
  arguments.insert(arguments.end(), {"--data-dir", options.data_directory});
}

}  // namespace

Environment WorkerEnvironment(const Job& job) {
  const std::string threads = absl::StrCat(job.cluster().threads_per_worker());
  // Idle threads must not spin.
  return {{"OMP_NUM_THREADS", threads},
          {"OPENBLAS_NUM_THREADS", threads},
          {"OMP_WAIT_POLICY", "passive"}};
}

std::string PortFile(const std::string& run_directory) {
  return absl::StrCat(run_directory, "/shard-0.port");
}

std::string HttpPortFile(const std::string& run_directory) {
  return absl::StrCat(run_directory, "/shard-0.http");
}

Role CoordinatorRole(const Job& job, const RoleOptions& options) {
  const bool colocated = IsColocated(job);
  std::vector<std::string> arguments = {
      absl::StrCat(options.binary_directory,
                   colocated ? "/terse-worker" : "/terse-server"),
      "--job", JobFile(options)};
  if (colocated) {
    arguments.insert(arguments.end(), {"--colocated", "--rank", "0"});
    AddDataDirectory(options, arguments);
  } else {
    arguments.insert(arguments.end(), {"--shard", "0"});
  }
  arguments.insert(
      arguments.end(),
      {"--listen", ListenAddress(options, 0), "--port-file",
       PortFile(options.run_directory), "--run-dir", options.run_directory});
  Role role = MakeRole(options, colocated ? "worker" : "server", 0,
                       std::move(arguments));
  if (colocated) SetThreads(job, role);
  AddResume(options, role);
  role.coordinator = true;
  AddPage(options, role);
  return role;
}

std::vector<Role> OtherRoles(const Job& job, const RoleOptions& options,
                             const std::string& coordinator) {
  std::vector<Role> roles;
  const bool colocated = IsColocated(job);
  for (uint32_t shard = 1; !colocated && shard < ServerCount(job); ++shard) {
    roles.push_back(
        MakeRole(options, "server", shard,
                 {absl::StrCat(options.binary_directory, "/terse-server"),
                  "--shard", absl::StrCat(shard), "--coordinator", coordinator,
                  "--listen", ListenAddress(options, shard)}));
    AddPeerTimeout(job, roles.back().process.arguments);
  }
  for (uint32_t rank = colocated ? 1 : 0; rank < job.cluster().workers();
       ++rank) {
    std::vector<std::string> arguments = {
        absl::StrCat(options.binary_directory, "/terse-worker"),
        "--coordinator", coordinator, "--rank", absl::StrCat(rank)};
    if (colocated) {
      arguments.insert(arguments.end(), {"--colocated", "--listen",
                                         ListenAddress(options, rank)});
    }
    AddDataDirectory(options, arguments);
    AddPeerTimeout(job, arguments);
    roles.push_back(MakeRole(options, "worker", rank, std::move(arguments)));
    SetThreads(job, roles.back());
  }
  return roles;
}

Role MemoryRole(const Job& job, const RoleOptions& options) {
  std::vector<std::string> arguments = {
      absl::StrCat(options.binary_directory, "/terse-worker"),
      "--memory",
      "--job",
      JobFile(options),
      "--run-dir",
      options.run_directory};
  AddDataDirectory(options, arguments);
  Role role = MakeRole(options, "process", 0, std::move(arguments));
  SetThreads(job, role);
  AddResume(options, role);
  role.coordinator = true;
  AddPage(options, role);
  return role;
}

absl::StatusOr<std::string> FindBinaries(
    const std::vector<std::string>& programs) {
  std::error_code error;
  const std::filesystem::path self =
      std::filesystem::read_symlink("/proc/self/exe", error);
  if (error) {
    return absl::InternalError(
        absl::StrCat("cannot read /proc/self/exe: ", error.message()));
  }
  const std::string directory = self.parent_path().string();
  for (const std::string& name : programs) {
    const std::string path = absl::StrCat(directory, "/", name);
    if (access(path.c_str(), X_OK) != 0) {
      return WithExitCode(
          absl::NotFoundError(absl::StrCat(
              path,
              " is missing: build it (cmake --build --preset release) "
              "or install it beside terse")),
          ExitCode::kInputMissing);
    }
  }
  return directory;
}

absl::StatusOr<std::string> MakeToken() {
  std::array<char, 32> bytes;
  if (getrandom(bytes.data(), bytes.size(), 0) != ssize_t(bytes.size())) {
    return absl::ErrnoToStatus(errno, "getrandom");
  }
  return absl::BytesToHexString(absl::string_view(bytes.data(), bytes.size()));
}

}  // namespace terse
