#include "common/wire/role_main.h"

#include <filesystem>
#include <fstream>
#include <string>

#include "common/base/status.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace terse {
namespace {

using nlohmann::json;

json Report(int first_step, const std::string& weights) {
  return {{"first_step", first_step},
          {"steps", 60},
          {"train_loss", first_step < 60 ? 0.5 : 0.0},
          {"weights_sha256", weights}};
}

class WriteReportTest : public testing::Test {
 protected:
  WriteReportTest() { std::filesystem::create_directories(run_); }
  ~WriteReportTest() override { std::filesystem::remove_all(run_); }

  static json Read(const std::string& path) {
    std::ifstream file(path);
    return json::parse(file, nullptr, /*allow_exceptions=*/false);
  }
  json InRun() const { return Read(run_ + "/report.json"); }

  const std::string run_ = testing::TempDir() + "write_report";
};

TEST_F(WriteReportTest, GoesToBothPlaces) {
  const std::string other = run_ + "/other.json";
  ASSERT_TRUE(WriteReport(Report(0, "a"), run_, other).ok());
  EXPECT_EQ(InRun(), Report(0, "a"));
  EXPECT_EQ(Read(other), Report(0, "a"));
  // A run that goes on from somewhere tells of its own steps.
  ASSERT_TRUE(WriteReport(Report(30, "a"), run_, "").ok());
  EXPECT_EQ(InRun(), Report(30, "a"));
}

TEST_F(WriteReportTest, KeepsThatOfTheStepsThatLedToTheSameWeights) {
  const std::string other = run_ + "/other.json";
  ASSERT_TRUE(WriteReport(Report(0, "a"), run_, "").ok());
  ASSERT_TRUE(WriteReport(Report(60, "a"), run_, other).ok());
  EXPECT_EQ(InRun(), Report(0, "a"));
  EXPECT_EQ(Read(other), Report(0, "a"));
  ASSERT_TRUE(WriteReport(Report(60, "b"), run_, "").ok());
  EXPECT_EQ(InRun(), Report(60, "b"));
}

TEST_F(WriteReportTest, ReplacesWhatIsNoReport) {
  for (const char* const foreign : {"", "{", "[1]", "{}"}) {
    std::ofstream(run_ + "/report.json") << foreign;
    ASSERT_TRUE(WriteReport(Report(60, "a"), run_, "").ok());
    EXPECT_EQ(InRun(), Report(60, "a")) << foreign;
  }
}

TEST_F(WriteReportTest, SaysWhereItCannotBeWritten) {
  const absl::Status status = WriteReport(Report(0, "a"), run_ + "/none", "");
  EXPECT_EQ(ExitCodeOf(status), ExitCode::kDisk);
  EXPECT_NE(status.message().find(run_ + "/none"), std::string::npos);
}

}  // namespace
}  // namespace terse
