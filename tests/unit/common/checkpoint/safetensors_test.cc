#include "common/checkpoint/safetensors.h"

#include <sys/stat.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <numeric>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "gtest/gtest.h"

namespace terse {
namespace {

class SafetensorsTest : public testing::Test {
 protected:
  void SetUp() override {
    directory_ = testing::TempDir() + "/safetensors_test";
    std::filesystem::remove_all(directory_);
    std::filesystem::create_directory(directory_);
    path_ = directory_ + "/a.safetensors";
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  std::string Content() const {
    std::ifstream stream(path_, std::ios::binary);
    return {std::istreambuf_iterator<char>(stream), {}};
  }

  std::string directory_;
  std::string path_;
};

// A file with this header and `data_bytes` zeros after it.
absl::Status ParseHeader(const std::string& header, size_t data_bytes) {
  std::string content(8, '\0');
  for (int i = 0; i < 8; ++i) {
    content[i] = static_cast<char>(header.size() >> (8 * i));
  }
  content += header + std::string(data_bytes, '\0');
  return SafetensorsFile::Parse(Buffer::CopyOf(content), "test").status();
}

TEST_F(SafetensorsTest, RoundTripKeepsEveryBit) {
  std::vector<float> values(1003);
  std::iota(values.begin(), values.end(), -500.25f);
  values[0] = std::numeric_limits<float>::quiet_NaN();
  values[1] = -0.0f;
  values[2] = std::numeric_limits<float>::denorm_min();
  const std::vector<float> one = {7};
  const std::vector<uint8_t> raw = {1, 2, 3};
  const std::vector<TensorView> tensors = {
      {"bytes", Dtype::kU8, {3}, std::as_bytes(std::span(raw))},
      FloatTensor("fc1.weight", {17, 59}, values),
      FloatTensor("empty", {0, 4}, {}),
      FloatTensor("scalar", {}, one)};
  ASSERT_TRUE(WriteSafetensors(path_, tensors, {{"step", "12"}}).ok());
  const auto file = SafetensorsFile::Read(path_);
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ(file->metadata().at("step"), "12");
  ASSERT_EQ(file->tensors().size(), 4u);
  EXPECT_EQ(file->tensors().at("fc1.weight").shape,
            (std::vector<uint64_t>{17, 59}));
  EXPECT_EQ(file->tensors().at("empty").bytes.size(), 0u);
  const auto bytes = file->tensors().at("fc1.weight").bytes;
  ASSERT_EQ(bytes.size(), values.size() * sizeof(float));
  EXPECT_EQ(std::memcmp(bytes.data(), values.data(), bytes.size()), 0);
  EXPECT_EQ(file->Floats("scalar", 1).value()[0], 7);
}

TEST_F(SafetensorsTest, DataAreAlignedAndNothingElseIsLeft) {
  const std::vector<float> values(5, 1);
  const std::vector<TensorView> tensors = {FloatTensor("a", {5}, values)};
  ASSERT_TRUE(WriteSafetensors(path_, tensors, {}).ok());
  EXPECT_EQ((Content().size() - 5 * sizeof(float)) % 64, 0u);
  size_t files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(directory_)) {
    files += entry.is_regular_file();
  }
  EXPECT_EQ(files, 1u);
}

TEST_F(SafetensorsTest, AFailedWriteKeepsTheOldFile) {
  const std::vector<float> values(5, 1);
  ASSERT_TRUE(
      WriteSafetensors(path_, {{FloatTensor("a", {5}, values)}}, {}).ok());
  const std::string before = Content();
  const absl::Status twice = WriteSafetensors(
      path_, {{FloatTensor("a", {5}, values), FloatTensor("a", {5}, values)}},
      {});
  EXPECT_TRUE(absl::IsInvalidArgument(twice)) << twice;
  const absl::Status shape =
      WriteSafetensors(path_, {{FloatTensor("a", {6}, values)}}, {});
  EXPECT_TRUE(absl::IsInvalidArgument(shape)) << shape;
  EXPECT_EQ(Content(), before);
}

TEST_F(SafetensorsTest, MissingFolderAndMissingFileAreToldApart) {
  const std::vector<float> values(1, 1);
  const absl::Status write = WriteSafetensors(
      directory_ + "/none/a", {{FloatTensor("a", {1}, values)}}, {});
  EXPECT_EQ(ExitCodeOf(write), ExitCode::kDisk) << write;
  const absl::Status read = SafetensorsFile::Read(path_).status();
  EXPECT_EQ(ExitCodeOf(read), ExitCode::kInputMissing) << read;
}

TEST_F(SafetensorsTest, EveryFlippedByteAndEveryCutIsNoticed) {
  std::vector<float> values(40);
  std::iota(values.begin(), values.end(), 0.5f);
  ASSERT_TRUE(WriteSafetensors(path_, {{FloatTensor("a", {8, 5}, values)}},
                               {{"step", "3"}})
                  .ok());
  const std::string content = Content();
  const size_t data_begin = content.size() - values.size() * sizeof(float);
  for (size_t i = data_begin; i < content.size(); ++i) {
    std::string damaged = content;
    damaged[i] ^= 0x10;
    const absl::Status status =
        SafetensorsFile::Parse(Buffer::CopyOf(damaged), "test").status();
    ASSERT_TRUE(absl::IsDataLoss(status)) << i << " " << status;
  }
  for (size_t size = 0; size < content.size(); ++size) {
    const absl::Status status =
        SafetensorsFile::Parse(Buffer::CopyOf(content.substr(0, size)), "test")
            .status();
    ASSERT_TRUE(absl::IsDataLoss(status)) << size << " " << status;
  }
  // A damaged header either fails or names other metadata; it never crashes.
  for (size_t i = 0; i < data_begin; ++i) {
    std::string damaged = content;
    damaged[i] ^= 0x01;
    SafetensorsFile::Parse(Buffer::CopyOf(damaged), "test")
        .status()
        .IgnoreError();
  }
}

TEST_F(SafetensorsTest, MalformedHeaders) {
  const std::string good =
      R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})";
  EXPECT_TRUE(ParseHeader(good, 8).ok());
  EXPECT_TRUE(absl::IsDataLoss(ParseHeader(good, 7)));   // Cut off.
  EXPECT_TRUE(absl::IsDataLoss(ParseHeader(good, 12)));  // Bytes left over.
  for (const std::string& bad : {
           std::string("not json"),
           std::string("[]"),
           std::string("{"),
           std::string(R"({"a":1})"),
           std::string(
               R"({"a":{"dtype":"F99","shape":[2],"data_offsets":[0,8]}})"),
           std::string(
               R"({"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}})"),
           std::string(
               R"({"a":{"dtype":"F32","shape":[2.5],"data_offsets":[0,8]}})"),
           std::string(
               R"({"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}})"),
           std::string(
               R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}})"),
           // 2^62 floats: the number of bytes does not fit 64 bits.
           std::string(R"({"a":{"dtype":"F32","shape":[4611686018427387906],)"
                       R"("data_offsets":[0,8]}})"),
           std::string(
               R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
               R"("a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})"),
           std::string(
               R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},)"
               R"("b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})"),
           std::string(R"({"__metadata__":{"x":1}})"),
           std::string(R"({"a":{"dtype":"F32","shape":[[[[[2]]]]],)"
                       R"("data_offsets":[0,8]}})"),
       }) {
    const absl::Status status = ParseHeader(bad, 8);
    EXPECT_TRUE(absl::IsDataLoss(status)) << bad << ": " << status;
    EXPECT_EQ(ExitCodeOf(status), ExitCode::kBadData);
  }
}

TEST_F(SafetensorsTest, FloatsWantsTheRightTensor) {
  const std::vector<float> values(4, 2);
  ASSERT_TRUE(
      WriteSafetensors(path_, {{FloatTensor("a", {4}, values)}}, {}).ok());
  const auto file = SafetensorsFile::Read(path_);
  ASSERT_TRUE(file.ok());
  EXPECT_TRUE(absl::IsDataLoss(file->Floats("b", 4).status()));
  EXPECT_TRUE(absl::IsDataLoss(file->Floats("a", 5).status()));
  EXPECT_EQ(file->Floats("a", 4).value().size(), 4u);
}

}  // namespace
}  // namespace terse
