#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>

#include "tests/golden/frame/golden_frames.h"

namespace terse {
namespace {

// Content of every file of good/ or bad/, by its name without ".frame".
std::map<std::string, std::string> Files(const std::string& folder) {
  std::map<std::string, std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(
           TERSE_SOURCE_DIR "/tests/golden/frame/" + folder)) {
    std::ifstream file(entry.path(), std::ios::binary);
    files[entry.path().stem().string()] = {std::istreambuf_iterator<char>(file),
                                           {}};
  }
  return files;
}

absl::Status Read(const std::string& bytes, std::vector<Frame>& frames) {
  FrameAssembler assembler(kGoldenPayloadBytesMax);
  return assembler.Append(std::as_bytes(std::span(bytes)), [&](Frame frame) {
    frames.push_back(std::move(frame));
    return absl::OkStatus();
  });
}

TEST(GoldenFrameTest, GoodFilesAreWhatIsWrittenAndRead) {
  const auto files = Files("good");
  ASSERT_EQ(files.size(), GoodFrames().size());
  for (const auto& [file, frame] : GoodFrames()) {
    ASSERT_TRUE(files.contains(file)) << file;
    EXPECT_EQ(Bytes(frame), files.at(file)) << file;
    std::vector<Frame> frames;
    ASSERT_TRUE(Read(files.at(file), frames).ok()) << file;
    ASSERT_EQ(frames.size(), 1) << file;
    EXPECT_EQ(Bytes(frames[0]), Bytes(frame)) << file;
  }
}

TEST(GoldenFrameTest, BadFilesGiveTheStatusOfTheirName) {
  const auto files = Files("bad");
  ASSERT_EQ(files.size(), BadFrames().size());
  for (const auto& [file, bytes] : files) {
    std::vector<Frame> frames;
    const absl::Status status = Read(bytes, frames);
    EXPECT_EQ(absl::StatusCodeToString(status.code()),
              file.substr(file.rfind('.') + 1))
        << file << ": " << status;
    EXPECT_TRUE(frames.empty()) << file;
  }
}

}  // namespace
}  // namespace terse
