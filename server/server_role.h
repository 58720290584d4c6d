// A server as a process, or as a thread beside a worker's: its link, its files,
// its page, and its state machine from start to end.
#ifndef TERSE_SERVER_SERVER_ROLE_H_
#define TERSE_SERVER_SERVER_ROLE_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/status.h"
#include "common/observe/role_http.h"
#include "common/transport/memory_link.h"
#include "common/transport/security/security.h"
#include "proto/job.pb.h"

namespace terse {

struct ServerRole {
  uint32_t shard = 0;
  std::string job;          // Its file; shard 0 only.
  std::string coordinator;  // Where shard 0 is; the others only.
  std::string transport = "grpc";
  std::string listen = "127.0.0.1:0";
  std::string port_file;
  std::string run_dir;
  std::string report;
  uint32_t peer_timeout_seconds = Cluster().peer_timeout_seconds();
  std::string checkpoint_dir;
  std::string resume = "never";
  TransportSecurity security;
  HttpFlags http;
  // Of a server beside a worker, which reaches it here as kServerBeside; null:
  // none. Must outlive the role.
  MemoryNetwork* beside = nullptr;
  // Called once the server listens, with its address; may be empty.
  std::function<void(const std::string&)> listening;
};

inline constexpr char kServerBeside[] = "server";

// Whether the role's addresses may be used, before anything is made: a refusal
// in the log of a lost peer would be late.
// Errors: as CheckSecurity.
absl::Status CheckAddresses(const ServerRole& role);

// Errors: what the job ends with.
absl::Status RunServerRole(ServerRole role, const std::atomic<int>& stop);

}  // namespace terse

#endif  // TERSE_SERVER_SERVER_ROLE_H_
