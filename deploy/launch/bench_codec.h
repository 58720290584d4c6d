// `terse bench codec`: every gradient codec on this machine, its bits, its
// speed beside memcpy, and what it loses.
#ifndef TERSE_DEPLOY_LAUNCH_BENCH_CODEC_H_
#define TERSE_DEPLOY_LAUNCH_BENCH_CODEC_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "deploy/launch/bench_measure.h"

namespace terse {

inline constexpr uint64_t kBenchBytes = uint64_t{64} << 20;

struct BenchCodecOptions {
  // Sizes of the fp32 input: from the first to the second, each `step_factor`
  // times the one before. See ParseByteSize; empty: kBenchBytes, or the other
  // where that lies beyond it.
  std::string min_bytes;
  std::string max_bytes;
  uint32_t step_factor = 2;
  // As ParseCodec takes them; none: all kinds there are, each as published.
  std::vector<std::string> codecs;
  std::string input = "gaussian";  // See ParseBenchInput.
  uint32_t threads = 1;
  BenchSettings settings;
  // Where to write the rows as JSON; "-": to stdout, in place of the tables.
  std::string json_path;
  std::string version;
};

// Names of all kinds in proto/job.proto that have a payload of their own, in
// lower case.
std::vector<std::string> AllCodecNames();

// Numbers of elements to measure.
// Errors: InvalidArgument (exit code 2).
absl::StatusOr<std::vector<uint64_t>> BenchSizes(
    const BenchCodecOptions& options);

// Measures, prints tables (stdout) and progress (stderr). Returns an exit code:
// 1 if any element came out wrong.
int RunBenchCodec(const BenchCodecOptions& options);

}  // namespace terse

#endif  // TERSE_DEPLOY_LAUNCH_BENCH_CODEC_H_
