// What `terse bench codec` found, for people and for programs.
#ifndef TERSE_DEPLOY_LAUNCH_BENCH_REPORT_H_
#define TERSE_DEPLOY_LAUNCH_BENCH_REPORT_H_

#include <cstdint>
#include <span>
#include <string>

#include "deploy/launch/bench_measure.h"

namespace terse {

// Where and with what the figures were taken.
struct BenchContext {
  std::string version;
  std::string compiler;
  std::string cpu;
  std::string input;
  uint32_t threads = 1;
  BenchSettings settings;
};

// The compiler of this program, "gcc 12.2.0".
std::string CompilerName();
// The CPU's model as the system names it, "unknown" where it does not.
std::string CpuName();

// Speed of `row` in GB/s (10^9) of fp32 input, and over a yardstick's.
double GigabytesPerSecond(const BenchRow& row, const BenchTime& time);
double SpeedOver(const BenchTime& time, const BenchTime& yardstick);

// Tables: size and loss, speed, the yardsticks, residuals.
std::string BenchText(const BenchContext& context,
                      std::span<const BenchRow> rows);

// An array with an object for each row; what was not measured is null.
std::string BenchJson(const BenchContext& context,
                      std::span<const BenchRow> rows);

}  // namespace terse

#endif  // TERSE_DEPLOY_LAUNCH_BENCH_REPORT_H_
