// What a role measures of itself, for Prometheus. Safe to use from any thread.
#ifndef TERSE_COMMON_OBSERVE_PROMETHEUS_ROLE_METRICS_H_
#define TERSE_COMMON_OBSERVE_PROMETHEUS_ROLE_METRICS_H_

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "absl/time/time.h"
#include "nlohmann/json.hpp"
#include "proto/wire.pb.h"

namespace terse {

enum class MetricsRole { kCoordinator, kServer, kWorker };

// A step of a worker, as the metrics take it.
struct StepMetrics {
  wire::StepTimes times;
  uint64_t samples = 0;
  double loss = 0;  // Mean over the samples.
  std::optional<double> residual_norm_ratio;
  // Since the job started: counted at the link, what fp32 would have taken in
  // each direction, and payloads by codec.
  uint64_t wire_bytes_up = 0;
  uint64_t wire_bytes_down = 0;
  uint64_t raw_bytes = 0;
  std::map<std::string, uint64_t> payload_bytes;
};

// How far a shard is. Bytes are as the workers see them: up is what it
// received.
struct ShardProgress {
  uint64_t wire_bytes_up = 0;
  uint64_t wire_bytes_down = 0;
  uint64_t version = 0;
  uint32_t workers_connected = 0;
};

class RoleMetrics {
 public:
  RoleMetrics(MetricsRole role, const std::string& version,
              const std::string& kernels);
  ~RoleMetrics();

  // How many workers the coordinator's job has.
  void SetWorkersWanted(uint32_t workers);

  // A worker's step.
  void OnStep(const StepMetrics& step);

  // A frame that a server has handled; now and then how far it is.
  void OnFrame(absl::Duration handled,
               const std::optional<ShardProgress>& progress);

  // An event of the coordinator.
  void OnEvent(const nlohmann::json& event, absl::Time now);

  // The text format of Prometheus.
  std::string Text() const;

 private:
  class Families;
  const std::unique_ptr<Families> families_;
};

}  // namespace terse

#endif  // TERSE_COMMON_OBSERVE_PROMETHEUS_ROLE_METRICS_H_
