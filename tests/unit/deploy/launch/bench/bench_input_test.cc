#include "deploy/launch/bench_input.h"

#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <limits>

#include "common/base/status.h"
#include "gtest/gtest.h"

namespace terse {
namespace {

std::vector<float> Fill(const std::string& text, size_t count, uint64_t seed,
                        uint32_t threads = 1) {
  const absl::StatusOr<BenchInput> input = ParseBenchInput(text);
  EXPECT_TRUE(input.ok()) << input.status();
  ThreadPool pool(threads);
  std::vector<float> values(count);
  if (input.ok()) FillBenchInput(*input, seed, pool, values);
  return values;
}

// Moments in units of the deviation the inputs should have.
struct Moments {
  explicit Moments(const std::vector<float>& values) {
    for (const float value : values) {
      const double x = value / kBenchInputDeviation;
      mean += x / values.size();
      square += x * x / values.size();
      absolute += std::abs(x) / values.size();
      zeros += double(value == 0) / values.size();
    }
  }
  double mean = 0, square = 0, absolute = 0, zeros = 0;
};

constexpr size_t kCount = 1 << 20;

TEST(ParseByteSize, UnderstandsPowersOf1024) {
  EXPECT_EQ(*ParseByteSize("0"), 0u);
  EXPECT_EQ(*ParseByteSize("4096"), 4096u);
  EXPECT_EQ(*ParseByteSize("64M"), uint64_t{64} << 20);
  EXPECT_EQ(*ParseByteSize("1.5k"), 1536u);
  EXPECT_EQ(*ParseByteSize("2G"), uint64_t{2} << 30);
}

TEST(ParseByteSize, RefusesWhatIsNoSize) {
  for (const char* text : {"", "M", "-1", "1T", "1e9", "inf", "nan", "0x10",
                           "1 M", "64MM", "1.2.3", "4096G"}) {
    const absl::Status status = ParseByteSize(text).status();
    EXPECT_FALSE(status.ok()) << text;
    EXPECT_EQ(ExitCodeOf(status), ExitCode::kBadCommandLine) << text;
  }
}

TEST(ParseBenchInput, RefusesWhatIsNoInput) {
  for (const char* text : {"", "gauss", "sparse", "sparse:", "sparse:2",
                           "sparse:nan", "sparse:-0.1", "file:"}) {
    const absl::Status status = ParseBenchInput(text).status();
    EXPECT_EQ(ExitCodeOf(status), ExitCode::kBadCommandLine) << text;
  }
  const absl::Status missing = ParseBenchInput("file:/no/such.f32").status();
  EXPECT_EQ(ExitCodeOf(missing), ExitCode::kInputMissing);
}

TEST(FillBenchInput, DistributionsHaveTheirMoments) {
  // E|x| of unit variance: Gaussian sqrt(2/pi), Laplace 1/sqrt 2, Student's t
  // with three degrees of freedom 2/pi.
  const Moments gaussian(Fill("gaussian", kCount, 1));
  EXPECT_NEAR(gaussian.mean, 0, 0.005);
  EXPECT_NEAR(gaussian.square, 1, 0.01);
  EXPECT_NEAR(gaussian.absolute, std::sqrt(2 / M_PI), 0.003);
  const Moments laplace(Fill("laplace", kCount, 1));
  EXPECT_NEAR(laplace.mean, 0, 0.005);
  EXPECT_NEAR(laplace.square, 1, 0.02);
  EXPECT_NEAR(laplace.absolute, M_SQRT1_2, 0.004);
  const Moments student(Fill("student_t", kCount, 1));
  EXPECT_NEAR(student.mean, 0, 0.01);
  EXPECT_NEAR(student.absolute, 2 / M_PI, 0.005);
  const Moments sparse(Fill("sparse:0.125", kCount, 1));
  EXPECT_NEAR(sparse.zeros, 0.875, 0.002);
  EXPECT_NEAR(sparse.square, 0.125, 0.003);
  EXPECT_EQ(Moments(Fill("zeros", 1024, 1)).zeros, 1);
  EXPECT_EQ(Moments(Fill("sparse:0", 1024, 1)).zeros, 1);
}

TEST(FillBenchInput, IsAFunctionOfSeedAndElement) {
  const std::vector<float> values = Fill("gaussian", kCount, 7);
  EXPECT_EQ(Fill("gaussian", kCount, 7, 3), values);
  const std::vector<float> fewer = Fill("gaussian", 1000, 7);
  EXPECT_TRUE(std::equal(fewer.begin(), fewer.end(), values.begin()));
  EXPECT_NE(Fill("gaussian", 1000, 8), fewer);
}

class FileInput : public testing::Test {
 protected:
  ~FileInput() override { std::filesystem::remove(path_); }

  void Write(const void* data, size_t bytes) {
    std::ofstream file(path_, std::ios::binary);
    file.write(static_cast<const char*>(data),
               static_cast<std::streamsize>(bytes));
  }
  std::string Input() const { return "file:" + path_.string(); }

  const std::filesystem::path path_ =
      std::filesystem::path(testing::TempDir()) /
      ("bench_input_" + std::to_string(::getpid()) + ".f32");
};

TEST_F(FileInput, StartsAgainAtItsEnd) {
  const float values[] = {1.5f, -2, 0.25f};
  Write(values, sizeof(values));
  EXPECT_EQ(Fill(Input(), 7, 1),
            (std::vector<float>{1.5f, -2, 0.25f, 1.5f, -2, 0.25f, 1.5f}));
}

TEST_F(FileInput, MustHoldFiniteFloats) {
  const float values[] = {1, std::numeric_limits<float>::infinity()};
  for (const size_t bytes : {0, 3, 6, 8}) {
    Write(values, bytes);
    const absl::Status status = ParseBenchInput(Input()).status();
    EXPECT_EQ(ExitCodeOf(status), ExitCode::kBadData) << bytes;
  }
}

}  // namespace
}  // namespace terse
