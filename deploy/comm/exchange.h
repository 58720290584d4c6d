// What `terse bench comm` times: tensors that workers push to servers, pull
// from them, or both, by the codecs and sums of a job.
#ifndef TERSE_DEPLOY_COMM_EXCHANGE_H_
#define TERSE_DEPLOY_COMM_EXCHANGE_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "common/codec/codec.h"
#include "common/codec/gradient_sum.h"
#include "common/transport/inbox.h"
#include "common/transport/link.h"
#include "proto/job.pb.h"

namespace terse {

enum class CommPattern { kPush, kPull, kPushPull };

// One row of the table, known to all processes.
struct CommCase {
  CommPattern pattern = CommPattern::kPushPull;
  GradientCodec codec;
  uint64_t elements = 0;  // Of a tensor, cut into blocks as a job does.
  uint32_t tensors = 1;   // Under way at once.
  uint32_t iterations = 20;
  uint32_t warmup_iterations = 5;
  bool check = true;
};

// Blocks of all tensors of a case; block b lies on server b % servers.
struct CommBlock {
  uint64_t first_index = 0;
  uint32_t count = 0;
};
std::vector<CommBlock> CommBlocks(const CommCase& test);

// Element i of what worker `worker` pushes.
void FillCommInput(uint32_t worker, uint64_t first, std::span<float> values);

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
