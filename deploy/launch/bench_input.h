// What `terse bench codec` encodes.
#ifndef TERSE_DEPLOY_LAUNCH_BENCH_INPUT_H_
#define TERSE_DEPLOY_LAUNCH_BENCH_INPUT_H_

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/thread_pool.h"

namespace terse {

// Standard deviation of the generated inputs, about that of gradients.
inline constexpr double kBenchInputDeviation = 0.01;

struct BenchInput {
  enum class Kind { kGaussian, kLaplace, kStudentT, kSparse, kZeros, kFile };
  Kind kind = Kind::kGaussian;
  double density = 1;              // Of kSparse: the share that is not 0.
  std::vector<float> file_values;  // Of kFile; not empty.
};

// "gaussian", "laplace", "student_t" (3 degrees of freedom), "sparse:0.01"
// (Gaussian values at one of a hundred places), "zeros", "file:grads.f32" (raw
// little-endian float32).
// Errors: InvalidArgument (exit code 2), NotFound (66), DataLoss (65).
absl::StatusOr<BenchInput> ParseBenchInput(std::string_view text);

// Element i is a function of (input, seed, i); a file starts again at its end.
void FillBenchInput(const BenchInput& input, uint64_t seed, ThreadPool& pool,
                    std::span<float> values);

// "1048576", "64M", "1.5k", "2G" (powers of 1024) as bytes.
// Errors: InvalidArgument (exit code 2).
absl::StatusOr<uint64_t> ParseByteSize(std::string_view text);

}  // namespace terse

#endif  // TERSE_DEPLOY_LAUNCH_BENCH_INPUT_H_
