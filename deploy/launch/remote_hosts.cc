#include "deploy/launch/remote_hosts.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/base/status.h"
#include "common/config/job.h"
#include "deploy/launch/run_directory.h"

namespace terse {

absl::StatusOr<RemoteHosts> RemoteHosts::Make(const Job& job,
                                              const TrainOptions& options) {
  const Cluster& cluster = job.cluster();
  if (cluster.transport() != Cluster::GRPC) {
    return WithExitCode(
        absl::InvalidArgumentError(
            "terse launch starts jobs of cluster.transport: grpc; for MPI let "
            "mpirun --hostfile start terse run"),
        ExitCode::kBadCommandLine);
  }
  const absl::StatusOr<std::string> text = ReadFile(options.hostfile);
  if (!text.ok()) {
    return WithExitCode(
        absl::NotFoundError(
            absl::StrCat("--hostfile ", options.hostfile, " cannot be read")),
        ExitCode::kInputMissing);
  }
  RemoteHosts hosts;
  TERSE_ASSIGN_OR_RETURN(const std::vector<HostSlots> slots,
                         ParseHostfile(*text, options.hostfile));
  TERSE_ASSIGN_OR_RETURN(
      hosts.placement_, PlaceRoles(slots, ServerCount(job), cluster.workers()));
  TERSE_ASSIGN_OR_RETURN(hosts.options_.agent, FindAgent(options.agent));
  hosts.options_.grace = options.grace;
  std::error_code error;
  hosts.options_.directory = std::filesystem::current_path(error).string();
  return hosts;
}

void RemoteHosts::set_run_directory(const std::string& directory) {
  options_.token_file = absl::StrCat(directory, "/token");
}

Role RemoteHosts::Place(const Role& role) const {
  const std::vector<std::string> words = absl::StrSplit(role.name, ' ');
  uint32_t rank = 0;
  TERSE_CHECK(words.size() == 2 && absl::SimpleAtoi(words[1], &rank));
  const std::vector<std::string>& hosts =
      words[0] == "server" ? placement_.servers : placement_.workers;
  return OnHost(role, hosts.at(rank), options_);
}

absl::Status RemoteHosts::WriteToken(const std::string& token) const {
  const int file = open(options_.token_file.c_str(),
                        O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  const bool written = file >= 0 && write(file, token.data(), token.size()) ==
                                        static_cast<ssize_t>(token.size());
  const int why = errno;
  if (file >= 0) close(file);
  if (written) return absl::OkStatus();
  return WithExitCode(
      absl::ErrnoToStatus(why,
                          absl::StrCat("cannot write ", options_.token_file)),
      ExitCode::kDisk);
}

void RemoteHosts::RemoveToken() const { unlink(options_.token_file.c_str()); }

}  // namespace terse
