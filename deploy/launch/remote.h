// Roles on other machines, by way of ssh or a program that takes the same
// words.
#ifndef TERSE_DEPLOY_LAUNCH_REMOTE_H_
#define TERSE_DEPLOY_LAUNCH_REMOTE_H_

#include <chrono>
#include <string>
#include <vector>

#include "deploy/launch/supervise.h"

namespace terse {

struct RemoteOptions {
  // "ssh -o BatchMode=yes": called with a host and a command line for its
  // shell.
  std::vector<std::string> agent;
  std::string directory;  // Where the command runs; the same folder everywhere.
  std::string
      token_file;  // Holds TERSE_TOKEN; a command line is for all to see.
  std::chrono::milliseconds grace{30'000};
};

// `role` as a process of `host`. Its standard input is a pipe: when that
// closes, for whatever reason, the role gets SIGTERM there, and SIGKILL after
// the grace period, so that it outlives neither its launcher nor its
// connection.
Role OnHost(const Role& role, const std::string& host,
            const RemoteOptions& options);

// The agent's words: split at spaces, its program found in PATH.
// Errors: NotFound (exit code 66).
absl::StatusOr<std::vector<std::string>> FindAgent(const std::string& agent);

}  // namespace terse

#endif  // TERSE_DEPLOY_LAUNCH_REMOTE_H_
