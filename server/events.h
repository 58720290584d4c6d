// Parts of the events a coordinator tells.
#ifndef TERSE_SERVER_EVENTS_H_
#define TERSE_SERVER_EVENTS_H_

#include "nlohmann/json.hpp"
#include "proto/wire.pb.h"

namespace terse {

inline double Ratio(double part, double whole) {
  return whole > 0 ? part / whole : 0;
}

inline double Milliseconds(double ns) { return ns / 1e6; }

void AddTimes(const wire::StepTimes& times, wire::StepTimes& sums);

// Milliseconds of each part of a step: `sums` over `steps`.
nlohmann::json MeanTimes(const wire::StepTimes& sums, double steps);

}  // namespace terse

#endif  // TERSE_SERVER_EVENTS_H_
