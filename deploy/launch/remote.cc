#include "deploy/launch/remote.h"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/base/status.h"

namespace terse {
namespace {

constexpr char kTokenVariable[] = "TERSE_TOKEN";

// What the shell of the other machine runs. The shell stays, waits for the role
// and passes its exit code on; beside it somebody reads standard input to its
// end. A background command has no standard input of its own, so it is kept as
// file 3.
std::string ShellCommand(const Role& role, const RemoteOptions& options) {
  std::string command =
      absl::StrCat("cd ", ShellLine({options.directory}), " && ",
                   kTokenVariable, "=\"$(cat ", ShellLine({options.token_file}),
                   ")\" && export ", kTokenVariable, " && { exec 3<&0; env");
  for (const auto& [name, value] : role.process.environment) {
    if (name == kTokenVariable) continue;
    absl::StrAppend(&command, " ", ShellLine({absl::StrCat(name, "=", value)}));
  }
  const auto grace_seconds =
      std::chrono::duration_cast<std::chrono::seconds>(options.grace).count();
  absl::StrAppend(
      &command, " ", ShellLine(role.process.arguments),
      " 3<&- </dev/null & role=$!; "
      "{ cat <&3; kill -TERM $role; sleep ",
      std::max<int64_t>(1, grace_seconds),
      "; kill -KILL $role; } >/dev/null 2>&1 & "
      "watch=$!; exec 3<&-; wait $role; code=$?; kill $watch 2>/dev/null; "
      "exit $code; }");
  return command;
}

}  // namespace

Role OnHost(const Role& role, const std::string& host,
            const RemoteOptions& options) {
  Role remote = role;
  remote.host = host;
  remote.process.arguments = options.agent;
  remote.process.arguments.push_back(host);
  remote.process.arguments.push_back(ShellCommand(role, options));
  remote.process.environment.clear();
  remote.process.stop_by_input = true;
  return remote;
}

absl::StatusOr<std::vector<std::string>> FindAgent(const std::string& agent) {
  std::vector<std::string> words =
      absl::StrSplit(agent, ' ', absl::SkipEmpty());
  if (words.empty()) words = {"ssh"};
  std::string& program = words[0];
  if (program.find('/') != std::string::npos) {
    if (access(program.c_str(), X_OK) == 0) return words;
  } else {
    const char* path = std::getenv("PATH");
    for (const absl::string_view directory :
         absl::StrSplit(path == nullptr ? "/usr/bin:/bin" : path, ':')) {
      const std::string file = absl::StrCat(directory, "/", program);
      if (access(file.c_str(), X_OK) != 0) continue;
      program = file;
      return words;
    }
  }
  return WithExitCode(
      absl::NotFoundError(absl::StrCat(
          "the agent ", program,
          " is no program here: install openssh-client, or give --agent")),
      ExitCode::kInputMissing);
}

}  // namespace terse
