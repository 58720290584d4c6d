#include "deploy/launch/run_directory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "common/base/status.h"

namespace terse {
namespace {

using ::testing::HasSubstr;
using ::testing::MatchesRegex;
namespace fs = std::filesystem;

class RunDirectoryTest : public ::testing::Test {
 protected:
  RunDirectoryTest()
      : old_(fs::current_path()),
        directory_(::testing::TempDir() + "run_directory_" +
                   std::to_string(getpid())) {
    fs::create_directories(directory_);
    fs::current_path(directory_);
  }
  ~RunDirectoryTest() override {
    fs::current_path(old_);
    fs::remove_all(directory_);
  }

  const fs::path old_;
  const fs::path directory_;
  const absl::Time now_ = absl::FromUnixSeconds(1'700'000'000);
};

TEST_F(RunDirectoryTest, NamesARunAfterItsJobAndTime) {
  const auto run = MakeRunDirectory("", "my job/../x", now_);
  ASSERT_TRUE(run.ok()) << run.status();
  EXPECT_THAT(*run, MatchesRegex("runs/my-job-..-x-20231114-221320-[0-9]+"));
  EXPECT_TRUE(fs::is_directory(*run + "/logs"));
  EXPECT_EQ(fs::canonical("runs/latest"), fs::canonical(*run));
}

TEST_F(RunDirectoryTest, PointsLatestToTheNewestRun) {
  ASSERT_TRUE(MakeRunDirectory("", "a", now_).ok());
  const auto second = MakeRunDirectory("", "b", now_);
  ASSERT_TRUE(second.ok());
  EXPECT_EQ(fs::canonical("runs/latest"), fs::canonical(*second));
}

TEST_F(RunDirectoryTest, LeavesAFolderCalledLatestAlone) {
  fs::create_directories("runs/latest");
  ASSERT_TRUE(MakeRunDirectory("", "a", now_).ok());
  EXPECT_FALSE(fs::is_symlink("runs/latest"));
}

TEST_F(RunDirectoryTest, TakesTheWantedFolderIfItIsEmpty) {
  fs::create_directories("there");
  for (const char* wanted : {"there", "new/deeper"}) {
    const auto run = MakeRunDirectory(wanted, "a", now_);
    ASSERT_TRUE(run.ok()) << run.status();
    EXPECT_EQ(*run, wanted);
  }
  EXPECT_FALSE(fs::exists("runs"));
  const absl::Status again = MakeRunDirectory("there", "a", now_).status();
  EXPECT_EQ(ExitCodeOf(again), ExitCode::kBadCommandLine);
  EXPECT_THAT(std::string(again.message()), HasSubstr("there is not empty"));
}

TEST_F(RunDirectoryTest, SaysWhatItCannotMake) {
  std::ofstream("file") << "x";
  const absl::Status status = MakeRunDirectory("file/run", "a", now_).status();
  EXPECT_EQ(ExitCodeOf(status), ExitCode::kDisk);
  EXPECT_THAT(std::string(status.message()), HasSubstr("file/run"));
}

TEST_F(RunDirectoryTest, WritesAndReadsFilesWhole) {
  ASSERT_TRUE(WriteFile("a", "one\n").ok());
  ASSERT_TRUE(WriteFile("a", "two").ok());
  EXPECT_EQ(ReadFile("a").value(), "two");
  EXPECT_EQ(std::distance(fs::directory_iterator("."), {}), 1);
  EXPECT_EQ(ExitCodeOf(ReadFile("b").status()), ExitCode::kInputMissing);
}

TEST_F(RunDirectoryTest, KeepsTheJobAndWhatWasTyped) {
  fs::create_directories("run");
  ASSERT_TRUE(
      KeepCommand("run", "name: a\n", {"terse", "train", "my job.yaml"}, now_)
          .ok());
  EXPECT_EQ(ReadFile("run/job.yaml").value(), "name: a\n");
  EXPECT_EQ(ReadFile("run/cmd.txt").value(),
            "# 2023-11-14T22:13:20+00:00, in " + fs::current_path().string() +
                "\nterse train 'my job.yaml'\n");
  EXPECT_EQ(ExitCodeOf(KeepCommand("nowhere", "", {}, now_)), ExitCode::kDisk);
}

TEST_F(RunDirectoryTest, DoesNotReplaceADevice) {
  fs::create_symlink("/dev/null", "null");
  ASSERT_TRUE(WriteFile("null", "x").ok());
  EXPECT_TRUE(fs::is_symlink("null"));
  EXPECT_EQ(ExitCodeOf(WriteFile("/dev/full", "x")), ExitCode::kDisk);
}

TEST_F(RunDirectoryTest, AsksBeforeWhetherAFileCanBeWritten) {
  EXPECT_TRUE(CheckWritable("new.json").ok());
  EXPECT_TRUE(CheckWritable("/dev/null").ok());
  const absl::Status no_folder = CheckWritable("nowhere/r.json");
  EXPECT_EQ(ExitCodeOf(no_folder), ExitCode::kDisk);
  EXPECT_THAT(std::string(no_folder.message()), HasSubstr("nowhere"));
  fs::create_directories("folder");
  EXPECT_EQ(ExitCodeOf(CheckWritable("folder")), ExitCode::kDisk);
}

}  // namespace
}  // namespace terse
