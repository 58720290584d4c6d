#include "deploy/launch/bench_input.h"

#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <system_error>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/base/limits.h"
#include "common/base/random.h"
#include "common/base/status.h"
#include "common/base/string_view.h"

namespace terse {
namespace {

constexpr uint64_t kBytesMax = uint64_t{1} << 40;

absl::Status BadFlag(std::string_view text, std::string_view what) {
  return WithExitCode(absl::InvalidArgumentError(
                          absl::StrCat("'", ToAbsl(text), "' ", ToAbsl(what))),
                      ExitCode::kBadCommandLine);
}

absl::StatusOr<std::vector<float>> ReadFloatFile(const std::string& path) {
  std::error_code error;
  const auto bytes = std::filesystem::file_size(path, error);
  std::ifstream file(path, std::ios::binary);
  if (error || !file) {
    return WithExitCode(
        absl::NotFoundError(absl::StrCat(path, ": no file that can be read")),
        ExitCode::kInputMissing);
  }
  if (bytes == 0 || bytes % sizeof(float) != 0) {
    return WithExitCode(
        absl::DataLossError(absl::StrCat(path, ": holds ", bytes,
                                         " bytes; float32 values are four "
                                         "bytes each, and one at least")),
        ExitCode::kBadData);
  }
  std::vector<float> values(bytes / sizeof(float));
  if (!file.read(reinterpret_cast<char*>(values.data()),
                 static_cast<std::streamsize>(bytes))) {
    return WithExitCode(
        absl::DataLossError(absl::StrCat(path, ": cannot be read to its end")),
        ExitCode::kBadData);
  }
  for (size_t i = 0; i < values.size(); ++i) {
    if (std::isfinite(values[i])) continue;
    return WithExitCode(absl::DataLossError(absl::StrCat(
                            path, ": value ", i, " is not a finite number")),
                        ExitCode::kBadData);
  }
  return values;
}

// Draws of one element. The first uniform is never 0, whose logarithm and
// negative powers are infinite.
struct Uniforms {
  Uniforms(uint64_t seed, uint64_t index)
      : first((RandomBits(DrawKey(Draw::kGenerate, {seed, 0}), index) + 0.5) *
              0x1p-32),
        second(RandomBits(DrawKey(Draw::kGenerate, {seed, 1}), index) *
               0x1p-32) {}
  double first, second;
};

double Gaussian(const Uniforms& u) {
  return std::sqrt(-2 * std::log(u.first)) * std::cos(2 * M_PI * u.second);
}

double Laplace(const Uniforms& u) {
  const double magnitude = -std::log(u.first) / std::sqrt(2.0);
  return u.second < 0.5 ? -magnitude : magnitude;
}

// Bailey's polar method (1994), three degrees of freedom, divided by the
// deviation of that distribution.
double StudentT(const Uniforms& u) {
  constexpr double kFreedom = 3;
  const double radius =
      std::sqrt(kFreedom * (std::pow(u.first, -2 / kFreedom) - 1));
  return radius * std::cos(2 * M_PI * u.second) / std::sqrt(3.0);
}

double Draw1(const BenchInput& input, uint64_t seed, uint64_t index) {
  const Uniforms u(seed, index);
  switch (input.kind) {
    case BenchInput::Kind::kGaussian:
      return Gaussian(u);
    case BenchInput::Kind::kLaplace:
      return Laplace(u);
    case BenchInput::Kind::kStudentT:
      return StudentT(u);
    case BenchInput::Kind::kSparse: {
      const uint64_t key = DrawKey(Draw::kGenerate, {seed, 2});
      const bool present = RandomBits(key, index) * 0x1p-32 < input.density;
      return present ? Gaussian(u) : 0;
    }
    case BenchInput::Kind::kZeros:
    case BenchInput::Kind::kFile:
      break;
  }
  return 0;
}

}  // namespace

absl::StatusOr<BenchInput> ParseBenchInput(std::string_view text) {
  using Kind = BenchInput::Kind;
  BenchInput input;
  if (text == "gaussian") {
    input.kind = Kind::kGaussian;
  } else if (text == "laplace") {
    input.kind = Kind::kLaplace;
  } else if (text == "student_t") {
    input.kind = Kind::kStudentT;
  } else if (text == "zeros") {
    input.kind = Kind::kZeros;
  } else if (text.starts_with("sparse:")) {
    input.kind = Kind::kSparse;
    if (!absl::SimpleAtod(ToAbsl(text.substr(7)), &input.density) ||
        !(input.density >= 0 && input.density <= 1)) {
      return BadFlag(text, "needs a share from 0 to 1: sparse:0.01");
    }
  } else if (text.starts_with("file:") && text.size() > 5) {
    input.kind = Kind::kFile;
    TERSE_ASSIGN_OR_RETURN(input.file_values,
                           ReadFloatFile(std::string(text.substr(5))));
  } else {
    return BadFlag(text,
                   "is no input: gaussian, laplace, student_t, sparse:SHARE, "
                   "zeros or file:PATH");
  }
  return input;
}

void FillBenchInput(const BenchInput& input, uint64_t seed, ThreadPool& pool,
                    std::span<float> values) {
  const size_t blocks =
      (values.size() + kBlockElementsMax - 1) / kBlockElementsMax;
  pool.Run(blocks, [&](size_t block) {
    const size_t first = block * kBlockElementsMax;
    const size_t last = std::min(first + kBlockElementsMax, values.size());
    for (size_t i = first; i < last; ++i) {
      values[i] = input.kind == BenchInput::Kind::kFile
                      ? input.file_values[i % input.file_values.size()]
                      : static_cast<float>(kBenchInputDeviation *
                                           Draw1(input, seed, i));
    }
  });
}

absl::StatusOr<uint64_t> ParseByteSize(std::string_view text) {
  std::string_view digits = text;
  double unit = 1;
  if (!digits.empty()) {
    switch (digits.back()) {
      case 'k':
      case 'K':
        unit = 0x1p10;
        break;
      case 'm':
      case 'M':
        unit = 0x1p20;
        break;
      case 'g':
      case 'G':
        unit = 0x1p30;
        break;
      default:
        break;
    }
    if (unit > 1) digits.remove_suffix(1);
  }
  double number = 0;
  const bool digits_only =
      !digits.empty() &&
      digits.find_first_not_of("0123456789.") == std::string_view::npos;
  if (!digits_only || !absl::SimpleAtod(ToAbsl(digits), &number)) {
    return BadFlag(text, "is no size: give bytes, as 4096, 64M or 1G");
  }
  const double bytes = number * unit;
  if (bytes > static_cast<double>(kBytesMax)) {
    return BadFlag(text, "is more than the limit of 1024G");
  }
  return static_cast<uint64_t>(bytes);
}

}  // namespace terse
