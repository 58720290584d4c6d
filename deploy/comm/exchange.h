// How `terse bench comm` times its cases: the servers' and the workers' part.
#ifndef TERSE_DEPLOY_COMM_EXCHANGE_H_
#define TERSE_DEPLOY_COMM_EXCHANGE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "common/transport/inbox.h"
#include "common/transport/link.h"
#include "deploy/comm/comm_case.h"

namespace terse {

// A server's part of all cases: waits for `workers` peers, serves until they
// have gone.
// Errors: those of frames that make no sense, and of lost peers.
absl::Status ServeComm(const std::vector<CommCase>& cases, uint32_t servers,
                       uint32_t index, uint32_t workers, Link& link,
                       Inbox& inbox);

struct CommTimes {
  std::vector<double> total_us;  // By iteration.
  double encode_us = 0;          // Means.
  double decode_us = 0;
  double server_us = 0;     // Of the slowest server.
  uint64_t bytes_sent = 0;  // By this worker, of all timed iterations.
  uint64_t bytes_received = 0;
  uint64_t wrong = 0;  // Elements that are not what they must be.
};

// Worker `rank`'s part of all cases: connects to `servers`, times each case.
absl::StatusOr<std::vector<CommTimes>> TimeComm(
    const std::vector<CommCase>& cases, const std::vector<std::string>& servers,
    uint32_t rank, uint32_t workers, Link& link, Inbox& inbox);

}  // namespace terse

#endif  // TERSE_DEPLOY_COMM_EXCHANGE_H_
