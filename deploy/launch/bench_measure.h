// Times a codec beside memcpy and `y += x`, and holds it against its plain
// reference.
#ifndef TERSE_DEPLOY_LAUNCH_BENCH_MEASURE_H_
#define TERSE_DEPLOY_LAUNCH_BENCH_MEASURE_H_

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "absl/status/statusor.h"
#include "common/base/thread_pool.h"
#include "common/codec/codec.h"
#include "common/codec/rows_codec.h"
#include "deploy/launch/bench_statistics.h"
#include "proto/job.pb.h"

namespace terse {

struct BenchTime {
  double median_ns = 0;
  double variation = 0;  // Deviation over mean.
};

// Rounds of error feedback after which the residual is looked at.
inline constexpr std::array<int, 3> kResidualRounds = {1, 10, 100};
// On so many elements at most, to bound the time.
inline constexpr size_t kResidualElementsMax = size_t{1} << 18;

struct BenchRow {
  std::string codec;     // As asked for.
  std::string describe;  // With all its options.
  std::string target;    // Instruction set of the kernels.
  uint64_t elements = 0;
  uint64_t payload_bytes = 0;
  uint64_t wire_bytes = 0;  // With the frames' headers.
  double entropy_bits = 0;  // Per element.
  // Of sparse codecs: the bits of the positions over log2 C(n, k).
  std::optional<double> index_bits_over_choose;

  // Of all elements once, medians over the iterations.
  BenchTime memcpy, axpy, encode, decode_add;
  std::optional<BenchTime> encode_feedback;
  // Of one worker's payload, where its levels add up as integers; see
  // kBenchWorkers.
  std::optional<BenchTime> integer_add;

  Fidelity fidelity;
  // By entry of kResidualRounds; see ResidualRatios.
  std::optional<std::array<double, kResidualRounds.size()>> residual_ratios;
  uint64_t wrong = 0;  // See CountWrong.
};

// Payloads that are added into the integer sums of a block one after the other,
// as a server does when a round is complete.
inline constexpr uint32_t kBenchWorkers = 4;

// The input as a matrix, for codecs that send rows.
inline constexpr BlockRows kBenchRows = {.elements = 512};

struct BenchSettings {
  uint32_t iterations = 20;
  uint32_t warmup_iterations = 5;
  uint64_t seed = 1;
  bool error_feedback = true;
  std::string kernel_target = "auto";
};

// Encodes `values` in blocks of kBlockElementsMax, as a worker does, block
// after block on the threads of `pool`. The yardsticks run on the same threads,
// with the best instruction set there is, between the others' iterations.
// Errors: those of the codec.
absl::StatusOr<BenchRow> MeasureCodec(const GradientCodec& options,
                                      std::span<const float> values,
                                      const BenchSettings& settings,
                                      ThreadPool& pool);

// Elements of blocks of `values` whose bytes, decoded values or residuals
// differ between the kernels' target in use and the plain reference, or whose
// bytes do not validate.
uint64_t CountWrong(const Codec& codec, std::span<const float> values,
                    uint64_t seed, ThreadPool& pool);

// |residual| / |gradient| after each of kResidualRounds, where round r encodes
// the values shifted cyclically by a step that makes neighbouring rounds
// differ.
absl::StatusOr<std::array<double, kResidualRounds.size()>> ResidualRatios(
    const GradientCodec& options, std::span<const float> values, uint64_t seed);

}  // namespace terse

#endif  // TERSE_DEPLOY_LAUNCH_BENCH_MEASURE_H_
