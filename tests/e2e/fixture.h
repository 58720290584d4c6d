// A folder of its own and a small job for each end-to-end test.
#ifndef TERSE_TESTS_E2E_FIXTURE_H_
#define TERSE_TESTS_E2E_FIXTURE_H_

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <vector>

#include "tests/e2e/command.h"

namespace terse {

// 40 steps of two workers on generated digits: a second or two.
inline constexpr char kTinyJob[] = R"(
name: tiny
seed: 3
model:
  mlp: [32]
data: {kind: digits, train_samples: 2000, test_samples: 400}
quantize:
  weights: binaryconnect
compress:
  gradient: terngrad
optimizer: {kind: adam, learning_rate: 0.01}
train: {epochs: 2, batch_size: 50}
cluster: {servers: 1, workers: 2}
)";

class EndToEnd : public ::testing::Test {
 protected:
  EndToEnd()
      : mark_(std::to_string(getpid()) + "-" +
              ::testing::UnitTest::GetInstance()->current_test_info()->name()),
        directory_(std::filesystem::path(::testing::TempDir()) /
                   ("terse-e2e-" + mark_)) {
    std::filesystem::remove_all(directory_);
    std::filesystem::create_directories(directory_);
    WriteText(directory_ / "job.yaml", kTinyJob);
  }
  ~EndToEnd() override {
    EXPECT_TRUE(AllEnd(mark_)) << "processes are left behind";
    if (!HasFailure()) std::filesystem::remove_all(directory_);
  }

  CommandOptions Options() const {
    return {.directory = directory_, .mark = mark_};
  }
  // terse `arguments`, to its end.
  CommandResult Terse(const std::vector<std::string>& arguments) const {
    return Command("terse", arguments, Options()).Wait();
  }
  // The report of `terse train job.yaml ARGUMENTS`, which must end well.
  nlohmann::json Train(std::vector<std::string> arguments) const {
    arguments.insert(arguments.begin(),
                     {"train", "job.yaml", "--report", "report.json"});
    const CommandResult result = Terse(arguments);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    if (result.exit_code != 0) return {};
    return nlohmann::json::parse(ReadText(directory_ / "report.json"));
  }

  const std::string mark_;
  const std::filesystem::path directory_;
};

}  // namespace terse

#endif  // TERSE_TESTS_E2E_FIXTURE_H_
