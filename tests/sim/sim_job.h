// A whole job, production servers and workers, over the simulated network.
#ifndef TERSE_TESTS_SIM_SIM_JOB_H_
#define TERSE_TESTS_SIM_SIM_JOB_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "common/base/clock.h"
#include "common/checkpoint/checkpoint.h"
#include "nlohmann/json.hpp"
#include "proto/job.pb.h"
#include "tests/sim/sim_model.h"
#include "tests/sim/sim_network.h"
#include "worker/session_options.h"

namespace terse {

struct SimJobOptions {
  SimNetworkOptions network;
  SimModelOptions model;
  // Roles start within this time, in a drawn order.
  absl::Duration start_spread = absl::Milliseconds(100);
  // Simulated time after which a job that has not ended is stuck.
  absl::Duration time_max = absl::Hours(24);
  uint64_t events_max = 100'000'000;
  int tick_ms = 1000;  // Between two looks at deadlines.
  // When every process gets a signal; those not started yet never start.
  std::optional<absl::Duration> stop_after;
  // The signal then asks for a checkpoint first.
  bool stop_with_checkpoint = false;
  // As in ServerOptions.
  std::string checkpoint_directory;
  std::optional<FoundCheckpoint> resume;
  // As in SessionOptions.
  WorkMeter measure_work;
  // When worker 0 vanishes without a word.
  std::optional<absl::Duration> lose_worker_after;
  // Processes, servers first, then workers, that are lost.
  struct Loss {
    uint32_t process = 0;
    absl::Duration after;
    bool silent = false;  // It stands still and nobody is told.
  };
  std::vector<Loss> losses;
  // What happens between a worker and a shard: the connection breaks, or the
  // worker is cut off, or stands still, for a time.
  struct Trouble {
    uint32_t worker = 0;
    uint32_t shard = 0;
    absl::Duration after;
    std::optional<absl::Duration> stall;  // None: the connection breaks.
    // In place of the worker's: of this server to the one that mirrors it.
    std::optional<uint32_t> server = std::nullopt;
  };
  std::vector<Trouble> troubles;
  // Workers' pushes that come twice, of a thousand.
  uint64_t repeats_per_mille = 0;
  // When another process takes the rank of a worker that is lost, or with
  // cluster.replicas of a server; none: never.
  std::optional<absl::Duration> replace_after;
  // Such a server, but the coordinator, listens at another address.
  bool moves = false;
  // When a second process claims the rank of worker 0, which runs.
  std::optional<absl::Duration> claim_after;
};

struct SimJobResult {
  absl::Status status;                 // The first error of any role.
  std::vector<absl::Status> statuses;  // Of those that were not lost.
  nlohmann::json report;
  uint64_t ended_before_report = 0;  // Roles.
  std::vector<nlohmann::json> events;
  uint64_t frames = 0;
  uint64_t overtakes_within = 0;  // See SimNetwork.
  uint64_t overtakes_across = 0;
  SimDamage damage;
  uint64_t residuals_checked = 0;  // Elements; see ResidualCheck.
  uint64_t steps = 0;              // Of all workers.
  // By worker: as weights_sha256, of the values its network ended with.
  std::vector<std::string> worker_sha256;
  // The largest number of steps by which a worker began ahead of the slowest.
  uint64_t lead_max = 0;
  // Whether all roles were free to end, and the simulated time until then.
  bool all_left = false;
  uint64_t bytes_under_way_max = 0;
  absl::Status claimant;  // How the second worker 0 ended.
  double seconds = 0;
};

SimJobResult RunSimJob(const Job& job, const SimJobOptions& options);

}  // namespace terse

#endif  // TERSE_TESTS_SIM_SIM_JOB_H_
