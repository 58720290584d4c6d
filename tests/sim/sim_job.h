// A whole job, production servers and workers, over the simulated network.
#ifndef TERSE_TESTS_SIM_SIM_JOB_H_
#define TERSE_TESTS_SIM_SIM_JOB_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "common/base/clock.h"
#include "nlohmann/json.hpp"
#include "proto/job.pb.h"
#include "tests/sim/sim_model.h"
#include "tests/sim/sim_network.h"

namespace terse {

struct SimJobOptions {
  SimNetworkOptions network;
  SimModelOptions model;
  // Roles start within this time, in a drawn order.
  absl::Duration start_spread = absl::Milliseconds(100);
  // Simulated time after which a job that has not ended is stuck.
  absl::Duration time_max = absl::Hours(24);
  uint64_t events_max = 100'000'000;
};

struct SimJobResult {
  absl::Status status;  // The first error of any role.
  nlohmann::json report;
  std::vector<nlohmann::json> events;
  uint64_t frames = 0;
  // The largest number of steps by which a worker began ahead of the slowest.
  uint64_t lead_max = 0;
};

SimJobResult RunSimJob(const Job& job, const SimJobOptions& options);

}  // namespace terse

#endif  // TERSE_TESTS_SIM_SIM_JOB_H_
