#include "common/checkpoint/checkpoint.h"

#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace terse {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

class CheckpointTest : public testing::Test {
 protected:
  CheckpointTest()
      : folder_((fs::path(testing::TempDir()) /
                 absl::StrCat("terse-checkpoints-", getpid()))
                    .string()) {
    fs::remove_all(folder_);
  }
  ~CheckpointTest() override { fs::remove_all(folder_); }

  std::string Path(uint64_t version) const {
    return absl::StrCat(folder_, "/", CheckpointFolderName(version));
  }
  void Write(uint64_t version, std::optional<double> accuracy = std::nullopt,
             std::optional<uint64_t> updates = std::nullopt) {
    ASSERT_TRUE(MakeFolder(Path(version)).ok());
    std::ofstream(Path(version) + "/part") << "of version " << version;
    const auto file = DescribeFile(Path(version), "part");
    ASSERT_TRUE(file.ok()) << file.status();
    const absl::Status written =
        WriteManifest(Path(version), {.version = version,
                                      .updates = updates.value_or(version),
                                      .servers = 1,
                                      .workers = 2,
                                      .job_yaml = "name: x\n",
                                      .test_accuracy = accuracy,
                                      .files = {*file}});
    ASSERT_TRUE(written.ok()) << written;
  }
  std::vector<uint64_t> Versions() const {
    std::vector<uint64_t> found;
    for (uint64_t version = 0; version < 20; ++version) {
      if (fs::exists(Path(version))) found.push_back(version);
    }
    return found;
  }

  const std::string folder_;
};

TEST_F(CheckpointTest, WhatIsWrittenIsRead) {
  Write(7, 0.25);
  const auto checkpoint = OpenCheckpoint(Path(7));
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  EXPECT_EQ(checkpoint->manifest.version, 7u);
  EXPECT_EQ(checkpoint->manifest.workers, 2u);
  EXPECT_EQ(checkpoint->manifest.job_yaml, "name: x\n");
  EXPECT_EQ(checkpoint->manifest.test_accuracy, 0.25);
}

TEST_F(CheckpointTest, EveryStepIsAnUpdateUnlessItIsSaid) {
  Write(7);
  Write(8, std::nullopt, 24);
  EXPECT_EQ(OpenCheckpoint(Path(7))->manifest.updates, 7u);
  EXPECT_EQ(OpenCheckpoint(Path(8))->manifest.updates, 24u);
}

TEST_F(CheckpointTest, TheNewestWholeOneIsFound) {
  Write(3);
  Write(5);
  Write(9);
  ASSERT_TRUE(MakeFolder(Path(11)).ok());  // Begun, never finished.
  std::ofstream(Path(9) + "/part") << "other";
  std::vector<std::string> passed_over;
  const auto found = FindCheckpoint(folder_, passed_over);
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(found->manifest.version, 5u);
  ASSERT_EQ(passed_over.size(), 1u);
  EXPECT_THAT(passed_over[0], HasSubstr("part is damaged"));
}

// It would be another job, or another step.
TEST_F(CheckpointTest, NoBitOfAManifestMayChange) {
  Write(3, 0.5);
  const std::string path = Path(3) + "/manifest.json";
  std::string text;
  std::getline(std::ifstream(path), text, '\0');
  for (size_t i = 0; i < text.size(); ++i) {
    std::string changed = text;
    changed[i] ^= 1 << i % 7;
    std::ofstream(path, std::ios::binary) << changed;
    const auto read = ReadCheckpoint(Path(3));
    if (!read.ok()) {
      EXPECT_EQ(ExitCodeOf(read.status()), ExitCode::kBadData) << i;
      continue;
    }
    // Between the parts one white space is as good as another.
    EXPECT_EQ(read->manifest.version, 3u) << i;
    EXPECT_EQ(read->manifest.workers, 2u) << i;
    EXPECT_EQ(read->manifest.job_yaml, "name: x\n") << i;
    EXPECT_EQ(read->manifest.test_accuracy, 0.5) << i;
  }
}

TEST_F(CheckpointTest, WhatIsNotThereHasItsExitCode) {
  std::vector<std::string> passed_over;
  const auto none = FindCheckpoint(folder_, passed_over);
  EXPECT_EQ(ExitCodeOf(none.status()), ExitCode::kInputMissing);
  Write(3);
  fs::remove(Path(3) + "/part");
  const auto damaged = FindCheckpoint(folder_, passed_over);
  EXPECT_EQ(ExitCodeOf(damaged.status()), ExitCode::kBadData);
  EXPECT_THAT(std::string(damaged.status().message()),
              HasSubstr("part is missing"));
}

TEST_F(CheckpointTest, TheLastAndTheBestStay) {
  Write(1, 0.5);
  Write(2, 0.9);
  Write(3, 0.8);
  ASSERT_TRUE(MakeFolder(Path(4)).ok());
  Write(5);
  Write(6, 0.7);
  ASSERT_TRUE(MakeFolder(Path(8)).ok());  // Under way.
  RemoveOldCheckpoints(folder_, 6, 2, /*keep_best=*/true);
  EXPECT_THAT(Versions(), testing::ElementsAre(2, 5, 6, 8));
  RemoveOldCheckpoints(folder_, 6, 1, /*keep_best=*/false);
  EXPECT_THAT(Versions(), testing::ElementsAre(6, 8));
}

TEST(ManifestTest, WhatIsNoManifestIsRefused) {
  for (const char* text :
       {"", "{", "[]", "{}", R"({"format": "terse checkpoint"})",
        R"({"format": "terse checkpoint", "format_version": 2})",
        R"({"format": "terse checkpoint", "format_version": 1, "step": -1,
            "servers": 1, "workers": 1, "job": "", "files": []})",
        R"({"format": "terse checkpoint", "format_version": 1, "step": 1,
            "servers": 0, "workers": 1, "job": "", "files": []})",
        R"({"format": "terse checkpoint", "format_version": 1, "step": 1,
            "servers": 1, "workers": 1, "job": "",
            "files": [{"name": "../x", "bytes": 1, "crc32c": 1}]})"}) {
    const auto manifest = ParseManifest(text, "m");
    EXPECT_EQ(ExitCodeOf(manifest.status()), ExitCode::kBadData) << text;
  }
}

}  // namespace
}  // namespace terse
