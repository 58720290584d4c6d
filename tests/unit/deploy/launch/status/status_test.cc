#include "deploy/launch/status.h"

#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "common/base/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace terse {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using testing::Not;

json Running() {
  return {{"job", {{"name", "first"}}},
          {"phase", "training"},
          {"start", {{"steps_total", 400}}},
          {"progress",
           {{"step", 100},
            {"seconds", 10.0},
            {"steps_per_second", 10.0},
            {"train_loss", 0.5},
            {"train_accuracy", 0.75},
            {"bits_per_element_up", 1.6},
            {"time_ms", {{"total", 20.0}, {"compute", 15.0}}}}},
          {"checkpoint", {{"step", 60}, {"seconds", 6.0}}},
          {"workers", {{{"rank", 1}, {"state", "training"}, {"step", 99}}}},
          {"events", {{{"text", "worker 1 joined"}}}}};
}

TEST(StatusTextTest, SaysHowTheJobGoes) {
  const std::string text = StatusText(Running());
  EXPECT_THAT(text, HasSubstr("first: training, step 100 of 400"));
  EXPECT_THAT(text, HasSubstr("0:30 to go"));
  EXPECT_THAT(text, HasSubstr("compute 75 %"));
  EXPECT_THAT(text, HasSubstr("20"));
  EXPECT_THAT(text, HasSubstr("a checkpoint of step 60, 0:04 ago"));
  EXPECT_THAT(text, HasSubstr("worker 1 joined"));
}

TEST(StatusTextTest, SteersNoTerminalAndTakesWhatIsStrange) {
  json status = Running();
  status["events"][0]["text"] = "\x1b[2Jgone";
  EXPECT_THAT(StatusText(status), Not(HasSubstr("\x1b")));
  status["progress"] = "none";
  status["workers"] = {1, "x"};
  status["checkpoint"] = {{"step", "x"}};
  status["events"] = 3;
  StatusText(status);
  StatusText(json::object());
}

class StatusOfRunTest : public testing::Test {
 protected:
  StatusOfRunTest()
      : folder_(std::filesystem::path(testing::TempDir()) /
                ("status_test-" + std::to_string(getpid()))) {
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
  }
  ~StatusOfRunTest() override { std::filesystem::remove_all(folder_); }

  const std::filesystem::path folder_;
};

TEST_F(StatusOfRunTest, ReadsWhatARunHasLeft) {
  std::ofstream(folder_ / "metrics.jsonl")
      << R"({"event": "start", "steps_total": 4})"
         "\n"
      << R"({"event": "progress", "seconds": 1, "step": 2})"
         "\n"
      << R"({"event": "prog)";
  std::ofstream(folder_ / "job.yaml") << "name: left\n";
  const auto status = StatusOfRun(folder_);
  ASSERT_TRUE(status.ok()) << status.status();
  EXPECT_EQ((*status)["phase"], "training");
  EXPECT_EQ((*status)["rows"].size(), 1u);
  EXPECT_EQ((*status)["job"]["yaml"], "name: left\n");
}

TEST_F(StatusOfRunTest, SaysWhatIsMissing) {
  EXPECT_EQ(ExitCodeOf(StatusOfRun(folder_).status()), ExitCode::kInputMissing);
  std::ofstream(folder_ / "metrics.jsonl") << "nonsense\n";
  EXPECT_EQ(ExitCodeOf(StatusOfRun(folder_).status()), ExitCode::kBadData);
}

}  // namespace
}  // namespace terse
