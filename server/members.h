// Those that a server is joined with.
#ifndef TERSE_SERVER_MEMBERS_H_
#define TERSE_SERVER_MEMBERS_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/time/time.h"
#include "proto/wire.pb.h"

namespace terse {

// A connection.
struct Peer {
  wire::Join::Role role;
  uint32_t rank;
  std::string address;  // Shards: where workers reach them.
};

// "worker 3", for people.
inline std::string RoleName(wire::Join::Role role, uint32_t rank) {
  return (role == wire::Join::WORKER ? "worker " : "shard ") +
         std::to_string(rank);
}

// A worker's rank, whoever has it; or, at the coordinator, a shard's.
struct Member {
  uint64_t incarnation = 0;
  bool welcomed = false;  // By the coordinator.
  bool receives = false;  // What is published.
  bool said_goodbye = false;
  std::optional<absl::Time> vacant_since;
  std::string why;  // It was lost.
};

}  // namespace terse

#endif  // TERSE_SERVER_MEMBERS_H_
