// What the tensors of a job look like while it runs: distributions over samples
// of their elements, small enough to be sent and kept. No result depends on
// them.
#ifndef TERSE_COMMON_OBSERVE_OBSERVATION_H_
#define TERSE_COMMON_OBSERVE_OBSERVATION_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "common/plan/plan.h"
#include "proto/wire.pb.h"

namespace terse {

// Elements of a tensor that are looked at: evenly spread, the same every time.
inline constexpr size_t kObservedElementsMax = size_t{1} << 14;
inline constexpr int kHistogramBins = 40;

// Observations of a job, at most, and the fewest steps between two.
inline constexpr uint64_t kObservationsMax = 50;
inline constexpr uint64_t kObservationStepsMin = 10;

// Steps between two observations in a job of `steps_total`.
uint64_t ObserveEverySteps(uint64_t steps_total);

// Whether a tensor is observed: weights of linear and convolution layers are,
// unless they send factors.
bool IsObserved(const Plan& plan, uint32_t tensor);

// The distribution of a sample of `values`. Those that are not finite are left
// out.
wire::Histogram Summarize(std::span<const float> values);

// Order-0 entropy of a sample of `values`, bits per element, each distinct
// value
// (-0 is 0) a symbol; none where they are too many to be levels of a codec.
std::optional<double> LevelEntropyBits(std::span<const float> values);

// Checks what a peer says it saw.
// Errors: InvalidArgument.
absl::Status ValidateObservation(const Plan& plan,
                                 const wire::Observation& observation);

}  // namespace terse

#endif  // TERSE_COMMON_OBSERVE_OBSERVATION_H_
