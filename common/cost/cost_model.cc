#include "common/cost/cost_model.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace terse {
namespace {

// Bytes that the busiest host sends and receives; what stays within a host goes
// over no link.
struct HostBytes {
  double sent = 0;
  double received = 0;
};

HostBytes BusiestHost(const StepWork& work, const Layout& layout) {
  const double up = static_cast<double>(work.bytes_up);
  const double down = static_cast<double>(work.bytes_down);
  const double workers = layout.workers;
  const double servers = layout.servers;
  if (!layout.shared_hosts) {
    // A worker's host, or a server's, which has them all.
    const double fan_in = workers / servers;
    return {.sent = std::max(up, fan_in * down),
            .received = std::max(down, fan_in * up)};
  }
  // Servers here; the share of the elements that they hold.
  const double here = std::ceil(servers / workers) / servers;
  const double others = workers - 1;
  return {.sent = up * (1 - here) + down * here * others,
          .received = down * (1 - here) + up * here * others};
}

// When all gradients have left, in ms after the forward pass. Backward takes
// the tensors from the last to the first, for their shares of its time; a
// tensor's gradient is there in the middle of it, before that of what lies
// below.
double GradientsSent(const StepWork& work, double backward_ms, double link_ms) {
  if (work.shares.empty()) return link_ms;
  double begun = 0, sent = 0;
  for (auto share = work.shares.rbegin(); share != work.shares.rend();
       ++share) {
    sent =
        std::max(sent, (begun + *share / 2) * backward_ms) + *share * link_ms;
    begun += *share;
  }
  return sent;
}

// Processor time of the busiest host's processes.
double HostWork(const StepWork& work, double compute_ms, const Machine& machine,
                const Layout& layout) {
  const double bytes =
      static_cast<double>(work.bytes_up) + static_cast<double>(work.bytes_down);
  const double wire_ms = bytes * machine.wire_ns_per_byte * 1e-6;
  const double worker = compute_ms + work.encode_ms + work.decode_ms + wire_ms;
  const double all_servers =
      layout.workers * (work.add_ms + wire_ms) + work.close_ms;
  const double servers = layout.servers;
  if (!layout.shared_hosts) return std::max(worker, all_servers / servers);
  const double here = std::ceil(servers / layout.workers) / servers;
  return worker + here * all_servers;
}

}  // namespace

StepCost PredictStep(const StepWork& work, const ComputeTime& compute,
                     const Machine& machine, const Layout& layout) {
  const double compute_ms = compute.forward_ms + compute.backward_ms;
  const double bytes =
      static_cast<double>(work.bytes_up) + static_cast<double>(work.bytes_down);
  const double wire_work_ms = bytes * machine.wire_ns_per_byte * 1e-6;
  StepCost cost;
  cost.worker_ms = compute_ms + work.encode_ms + work.decode_ms;
  cost.processor_ms = HostWork(work, compute_ms, machine, layout) /
                      std::max(1.0, machine.cores);
  const HostBytes host = BusiestHost(work, layout);
  const double link_ms =
      std::max(host.sent, host.received) * 8e-6 / machine.link_gbit;
  cost.wire_ms =
      compute.forward_ms + GradientsSent(work, compute.backward_ms, link_ms);
  const double server_ms =
      (layout.workers * (work.add_ms + wire_work_ms) + work.close_ms) /
      layout.servers;
  cost.server_ms = compute.forward_ms + server_ms;
  // The last block goes all the way by itself.
  const double exchanges = work.two_exchanges ? 2 : 1;
  const double tail_ms =
      exchanges * machine.round_trip_ms +
      (work.encode_ms + 2 * link_ms + server_ms + work.decode_ms) /
          std::max(1u, work.blocks);
  cost.step_ms = tail_ms + std::max({cost.worker_ms, cost.processor_ms,
                                     cost.wire_ms, cost.server_ms});
  return cost;
}

std::string BoundOf(const StepCost& cost) {
  const double longest = std::max(
      {cost.worker_ms, cost.processor_ms, cost.wire_ms, cost.server_ms});
  if (longest == cost.wire_ms) return "wire";
  if (longest == cost.worker_ms) return "worker";
  return longest == cost.server_ms ? "server" : "processors";
}

std::optional<double> PaysBelowGbit(const StepWork& codec,
                                    const StepWork& other,
                                    const ComputeTime& compute,
                                    const Machine& machine,
                                    const Layout& layout) {
  constexpr double kSlowest = 1e-4, kFastest = 1e4;
  const auto faster = [&](double gbit) {
    Machine at = machine;
    at.link_gbit = gbit;
    return PredictStep(codec, compute, at, layout).step_ms <
           PredictStep(other, compute, at, layout).step_ms;
  };
  if (!faster(kSlowest)) return std::nullopt;
  if (faster(kFastest)) return std::numeric_limits<double>::infinity();
  double below = kSlowest, above = kFastest;
  while (above / below > 1.001) {
    const double middle = std::sqrt(below * above);
    (faster(middle) ? below : above) = middle;
  }
  return below;
}

}  // namespace terse
