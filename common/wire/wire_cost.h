// What gRPC costs on this machine, over loopback.
#ifndef TERSE_COMMON_WIRE_WIRE_COST_H_
#define TERSE_COMMON_WIRE_WIRE_COST_H_

#include "absl/status/statusor.h"

namespace terse {

struct WireCost {
  double gbit = 0;         // Of one connection, one way (10^9 bits of payload).
  double ns_per_byte = 0;  // Processor time of either side.
  double round_trip_ms = 0;  // Of a short frame.
};

// Takes about a quarter of a second.
// Errors: Unavailable: no connection.
absl::StatusOr<WireCost> MeasureWireCost();

}  // namespace terse

#endif  // TERSE_COMMON_WIRE_WIRE_COST_H_
