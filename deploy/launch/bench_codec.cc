#include "deploy/launch/bench_codec.h"

#include <algorithm>
#include <cstdio>
#include <fstream>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "common/base/status.h"
#include "common/base/thread_pool.h"
#include "common/config/job.h"
#include "common/kernels/target.h"
#include "deploy/launch/bench_input.h"
#include "deploy/launch/bench_report.h"

namespace terse {
namespace {

absl::Status BadFlag(const std::string& what) {
  return WithExitCode(absl::InvalidArgumentError(what),
                      ExitCode::kBadCommandLine);
}

struct NamedCodec {
  std::string name;
  GradientCodec options;
};

absl::StatusOr<std::vector<NamedCodec>> CodecsOf(
    const BenchCodecOptions& options) {
  std::vector<NamedCodec> codecs;
  for (const std::string& name :
       options.codecs.empty() ? AllCodecNames() : options.codecs) {
    absl::StatusOr<GradientCodec> codec = ParseCodec(name);
    if (!codec.ok()) {
      return WithExitCode(codec.status(), ExitCode::kBadCommandLine);
    }
    codecs.push_back({name, *std::move(codec)});
  }
  return codecs;
}

absl::Status CheckTarget(const std::string& target) {
  const std::string before = KernelTargetName();
  if (!ForceKernelTarget(target)) {
    return BadFlag(absl::StrCat("there is no kernel target '", target,
                                "' here: auto, ",
                                absl::StrJoin(KernelTargetNames(), ", ")));
  }
  ForceKernelTarget(before);
  return absl::OkStatus();
}

absl::Status WriteJson(const BenchCodecOptions& options,
                       const std::string& json) {
  if (options.json_path.empty()) return absl::OkStatus();
  if (options.json_path == "-") {
    absl::PrintF("%s", json);
    return absl::OkStatus();
  }
  std::ofstream file(options.json_path, std::ios::trunc);
  file << json << std::flush;
  if (file) return absl::OkStatus();
  return WithExitCode(absl::DataLossError(absl::StrCat(options.json_path,
                                                       ": cannot be written")),
                      ExitCode::kDisk);
}

absl::StatusOr<std::vector<BenchRow>> Measure(
    const BenchCodecOptions& options) {
  TERSE_ASSIGN_OR_RETURN(const std::vector<NamedCodec> codecs,
                         CodecsOf(options));
  TERSE_ASSIGN_OR_RETURN(const std::vector<uint64_t> sizes,
                         BenchSizes(options));
  TERSE_ASSIGN_OR_RETURN(const BenchInput input,
                         ParseBenchInput(options.input));
  TERSE_RETURN_IF_ERROR(CheckTarget(options.settings.kernel_target));
  ThreadPool pool(options.threads);
  std::vector<BenchRow> rows;
  for (const uint64_t elements : sizes) {
    std::vector<float> values(elements);
    FillBenchInput(input, options.settings.seed, pool, values);
    for (const NamedCodec& codec : codecs) {
      absl::FPrintF(stderr, "%s, %u elements\n", codec.name, elements);
      absl::StatusOr<BenchRow> row =
          MeasureCodec(codec.options, values, options.settings, pool);
      if (!row.ok()) return Annotate(row.status(), codec.name);
      row->codec = codec.name;
      rows.push_back(*std::move(row));
    }
  }
  return rows;
}

absl::StatusOr<uint64_t> Report(const BenchCodecOptions& options) {
  TERSE_ASSIGN_OR_RETURN(const std::vector<BenchRow> rows, Measure(options));
  const BenchContext context = {.version = options.version,
                                .compiler = CompilerName(),
                                .cpu = CpuName(),
                                .input = options.input,
                                .threads = options.threads,
                                .settings = options.settings};
  const std::string text = BenchText(context, rows);
  if (options.json_path != "-") absl::PrintF("%s", text);
  TERSE_RETURN_IF_ERROR(WriteJson(options, BenchJson(context, rows)));
  uint64_t wrong = 0;
  for (const BenchRow& row : rows) wrong += row.wrong;
  return wrong;
}

}  // namespace

std::vector<std::string> AllCodecNames() {
  const auto& kinds = *GradientCodec::Kind_descriptor();
  std::vector<std::string> names;
  for (int i = 0; i < kinds.value_count(); ++i) {
    const int kind = kinds.value(i)->number();
    if (kind == GradientCodec::POWERSGD || kind == GradientCodec::FASTEST) {
      continue;
    }
    names.push_back(absl::AsciiStrToLower(kinds.value(i)->name()));
  }
  return names;
}

absl::StatusOr<std::vector<uint64_t>> BenchSizes(
    const BenchCodecOptions& options) {
  uint64_t min = kBenchBytes;
  uint64_t max = kBenchBytes;
  if (!options.min_bytes.empty()) {
    TERSE_ASSIGN_OR_RETURN(min, ParseByteSize(options.min_bytes));
    max = std::max(min, max);
  }
  if (!options.max_bytes.empty()) {
    TERSE_ASSIGN_OR_RETURN(max, ParseByteSize(options.max_bytes));
    if (options.min_bytes.empty()) min = std::min(min, max);
  }
  if (min < sizeof(float) || min > max) {
    return BadFlag(absl::StrCat("sizes from ", min, " to ", max,
                                " bytes: at least 4, and the second not below "
                                "the first"));
  }
  if (options.step_factor < 2) {
    return BadFlag("a step factor below 2 never comes to the largest size");
  }
  std::vector<uint64_t> sizes;
  for (uint64_t bytes = min;; bytes *= options.step_factor) {
    sizes.push_back(bytes / sizeof(float));
    if (bytes > max / options.step_factor) return sizes;
  }
}

int RunBenchCodec(const BenchCodecOptions& options) {
  const absl::StatusOr<uint64_t> wrong = Report(options);
  if (!wrong.ok()) {
    absl::FPrintF(stderr, "terse: %s\n", wrong.status().message());
    return static_cast<int>(ExitCodeOf(wrong.status()));
  }
  if (*wrong > 0) {
    absl::FPrintF(
        stderr, "terse: %u elements differ from the plain reference\n", *wrong);
    return static_cast<int>(ExitCode::kFailure);
  }
  return 0;
}

}  // namespace terse
