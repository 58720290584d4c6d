// What `terse bench comm` found, for people and for programs.
#ifndef TERSE_DEPLOY_COMM_COMM_REPORT_H_
#define TERSE_DEPLOY_COMM_COMM_REPORT_H_

#include <string>
#include <vector>

#include "deploy/comm/exchange.h"

namespace terse {

struct CommContext {
  std::string version;
  std::vector<std::string> arguments;
  std::string transport;
  std::string pattern;
  uint32_t servers = 1;
  uint32_t workers = 1;
  double emulated_gbit = 0;  // 0: none.
};

// Of one case, as worker 0 timed it.
struct CommRow {
  std::string codec;
  uint64_t bytes = 0;  // Of fp32, all tensors under way.
  uint64_t elements = 0;
  double mean_us = 0, p50_us = 0, p95_us = 0, p99_us = 0;
  double encode_us = 0, decode_us = 0, server_us = 0;
  double alg_gbytes = 0;  // bytes / p50, in GB/s (10^9).
  double bus_gbytes =
      0;                 // Of what an fp32 worker would move in its directions.
  double wire_gbit = 0;  // Of bytes that worker 0 sent and received.
  double bits_up = 0;    // Per element, on the wire.
  double bits_down = 0;
  uint64_t wrong = 0;
};

CommRow MakeCommRow(const CommCase& test, const std::string& codec,
                    uint32_t workers, const CommTimes& times);

std::string CommTable(const CommContext& context,
                      const std::vector<CommRow>& rows);
std::string CommJson(const CommContext& context,
                     const std::vector<CommRow>& rows);

}  // namespace terse

#endif  // TERSE_DEPLOY_COMM_COMM_REPORT_H_
