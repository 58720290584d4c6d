#include <gtest/gtest.h>
#include <unistd.h>
#include <zlib.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <numeric>
#include <string>
#include <vector>

#include "common/base/status.h"
#include "tests/unit/worker/data/read_label.h"
#include "worker/data/dataset.h"

namespace terse {
namespace {

namespace fs = std::filesystem;
using Bytes = std::vector<uint8_t>;

constexpr size_t kMnistPixels = 28 * 28;
constexpr size_t kCifarPixels = 3 * 32 * 32;

class FilesTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "terse-XXXXXX").string();
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    directory_ = pattern;
  }
  void TearDown() override { fs::remove_all(directory_); }

  void Write(const std::string& name, const Bytes& bytes) {
    fs::create_directories((directory_ / name).parent_path());
    std::ofstream(directory_ / name, std::ios::binary)
        .write(reinterpret_cast<const char*>(bytes.data()),
               static_cast<std::streamsize>(bytes.size()));
  }

  void WriteGzip(const std::string& name, const Bytes& bytes) {
    gzFile file = gzopen((directory_ / name).c_str(), "wb");
    ASSERT_NE(file, nullptr);
    ASSERT_EQ(gzwrite(file, bytes.data(), static_cast<unsigned>(bytes.size())),
              static_cast<int>(bytes.size()));
    ASSERT_EQ(gzclose(file), Z_OK);
  }

  Bytes Read(const std::string& name) {
    std::ifstream file(directory_ / name, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }

  // Three training and two test pictures under MNIST's usual names.
  void WriteMnist() {
    Write("train-images-idx3-ubyte", Images(3, 0));
    Write("train-labels-idx1-ubyte", Labels({5, 0, 9}));
    Write("t10k-images-idx3-ubyte", Images(2, 100));
    Write("t10k-labels-idx1-ubyte", Labels({1, 2}));
  }

  void WriteCifar10() {
    for (int i = 1; i <= 5; ++i) {
      Write("data_batch_" + std::to_string(i) + ".bin",
            Records({static_cast<uint8_t>(i), 0}));
    }
    Write("test_batch.bin", Records({9}));
  }

  static Bytes Header(uint32_t magic, uint32_t count) {
    Bytes bytes;
    for (const uint32_t word : {magic, count}) {
      for (int shift = 24; shift >= 0; shift -= 8) {
        bytes.push_back(static_cast<uint8_t>(word >> shift));
      }
    }
    return bytes;
  }

  // Pixel p of picture i is i + p + first, modulo 256.
  static Bytes Images(uint32_t count, uint8_t first) {
    Bytes bytes = Header(0x803, count);
    bytes.insert(bytes.end(), {0, 0, 0, 28, 0, 0, 0, 28});
    for (uint32_t i = 0; i < count; ++i) {
      for (size_t p = 0; p < kMnistPixels; ++p) {
        bytes.push_back(static_cast<uint8_t>(i + p + first));
      }
    }
    return bytes;
  }

  static Bytes Labels(const Bytes& labels) {
    Bytes bytes = Header(0x801, static_cast<uint32_t>(labels.size()));
    bytes.insert(bytes.end(), labels.begin(), labels.end());
    return bytes;
  }

  static Bytes Records(const Bytes& labels) {
    Bytes bytes;
    for (const uint8_t label : labels) {
      bytes.push_back(label);
      for (size_t p = 0; p < kCifarPixels; ++p) {
        bytes.push_back(static_cast<uint8_t>(label + p));
      }
    }
    return bytes;
  }

  absl::StatusOr<std::unique_ptr<Dataset>> Open(Data::Kind kind) {
    Data data;
    data.set_kind(kind);
    return OpenDataset(data, directory_.string(), 1);
  }

  // Expects the exit code and each of `words` in the message.
  void ExpectError(Data::Kind kind, ExitCode code,
                   const std::vector<std::string>& words) {
    const absl::Status status = Open(kind).status();
    ASSERT_FALSE(status.ok());
    EXPECT_EQ(ExitCodeOf(status), code) << status;
    const std::string message(status.message());
    for (const std::string& word : words) {
      EXPECT_NE(message.find(word), std::string::npos)
          << "no \"" << word << "\" in: " << message;
    }
    EXPECT_EQ(message.find('\n'), std::string::npos);
  }

  fs::path directory_;
};

void ExpectMnistSamples(const Dataset& data) {
  ASSERT_EQ(data.size(Split::kTrain), 3u);
  ASSERT_EQ(data.size(Split::kTest), 2u);
  std::vector<float> values(kMnistPixels);
  EXPECT_EQ(ReadLabel(data, Split::kTrain, 2, values), 9u);
  for (size_t p = 0; p < kMnistPixels; ++p) {
    const auto byte = static_cast<float>((p + 2) % 256);
    ASSERT_NEAR(values[p], byte / 127.5f - 1, 1e-6) << p;
  }
  EXPECT_EQ(ReadLabel(data, Split::kTest, 0, values), 1u);
  EXPECT_NEAR(values[0], 100 / 127.5f - 1, 1e-6);
  EXPECT_EQ(values[255 - 100], 1);
  EXPECT_EQ(values[256 - 100], -1);
}

TEST_F(FilesTest, MnistPlain) {
  WriteMnist();
  const auto data = Open(Data::MNIST);
  ASSERT_TRUE(data.ok()) << data.status();
  ExpectMnistSamples(**data);
}

TEST_F(FilesTest, MnistGzip) {
  WriteGzip("train-images-idx3-ubyte.gz", Images(3, 0));
  WriteGzip("train-labels-idx1-ubyte.gz", Labels({5, 0, 9}));
  WriteGzip("t10k-images-idx3-ubyte.gz", Images(2, 100));
  WriteGzip("t10k-labels-idx1-ubyte.gz", Labels({1, 2}));
  const auto data = Open(Data::MNIST);
  ASSERT_TRUE(data.ok()) << data.status();
  ExpectMnistSamples(**data);
}

TEST_F(FilesTest, MnistUnderOtherNames) {
  Write("train-images.idx3-ubyte", Images(3, 0));
  WriteGzip("train-labels.idx1-ubyte.gz", Labels({5, 0, 9}));
  Write("MNIST/raw/t10k-images-idx3-ubyte", Images(2, 100));
  Write("MNIST/raw/t10k-labels-idx1-ubyte", Labels({1, 2}));
  const auto data = Open(Data::MNIST);
  ASSERT_TRUE(data.ok()) << data.status();
  ExpectMnistSamples(**data);
}

TEST_F(FilesTest, DirectoryOfTheJobGivesWayToTheFlag) {
  WriteMnist();
  Data data;
  data.set_kind(Data::MNIST);
  data.set_directory(directory_.string());
  EXPECT_TRUE(OpenDataset(data, "", 1).ok());
  EXPECT_EQ(OpenDataset(data, "/nonexistent", 1).status().code(),
            absl::StatusCode::kNotFound);
}

TEST_F(FilesTest, NoDirectory) {
  Data data;
  data.set_kind(Data::MNIST);
  const absl::Status status = OpenDataset(data, "", 1).status();
  EXPECT_EQ(ExitCodeOf(status), ExitCode::kInputMissing);
  EXPECT_NE(status.message().find("--data-dir"), absl::string_view::npos);
}

TEST_F(FilesTest, MissingFile) {
  WriteMnist();
  fs::remove(directory_ / "t10k-labels-idx1-ubyte");
  ExpectError(Data::MNIST, ExitCode::kInputMissing,
              {"t10k-labels-idx1-ubyte", "t10k-labels.idx1-ubyte.gz",
               directory_.string(), "--data-dir"});
}

TEST_F(FilesTest, TruncatedGzip) {
  WriteMnist();
  fs::remove(directory_ / "train-images-idx3-ubyte");
  const std::string name = "train-images-idx3-ubyte.gz";
  WriteGzip(name, Images(3, 0));
  const Bytes whole = Read(name);
  // At every length: in the header, the data and the checksum.
  for (size_t size = 1; size < whole.size(); ++size) {
    Write(name, Bytes(whole.begin(), whole.begin() + ptrdiff_t(size)));
    ExpectError(Data::MNIST, ExitCode::kBadData, {name});
  }
}

TEST_F(FilesTest, CorruptGzip) {
  WriteMnist();
  fs::remove(directory_ / "train-images-idx3-ubyte");
  const std::string name = "train-images-idx3-ubyte.gz";
  WriteGzip(name, Images(3, 0));
  Bytes bytes = Read(name);
  bytes[bytes.size() - 6] ^= 1;  // In the checksum.
  Write(name, bytes);
  ExpectError(Data::MNIST, ExitCode::kBadData, {name});
}

TEST_F(FilesTest, WrongMagic) {
  WriteMnist();
  Write("train-images-idx3-ubyte", Labels({1, 2, 3, 4, 5, 6, 7, 8, 9}));
  ExpectError(Data::MNIST, ExitCode::kBadData,
              {"train-images-idx3-ubyte", "0x00000801", "0x00000803"});
}

TEST_F(FilesTest, WrongPictureSize) {
  WriteMnist();
  Bytes images = Images(3, 0);
  images[15] = 27;
  Write("train-images-idx3-ubyte", images);
  ExpectError(Data::MNIST, ExitCode::kBadData,
              {"train-images-idx3-ubyte", "28x27"});
}

TEST_F(FilesTest, WrongLengths) {
  for (const int change : {-1, 1}) {
    WriteMnist();
    Bytes images = Images(3, 0);
    images.resize(images.size() + size_t(change));
    Write("train-images-idx3-ubyte", images);
    ExpectError(Data::MNIST, ExitCode::kBadData, {"train-images-idx3-ubyte"});
  }
  WriteMnist();
  Write("train-labels-idx1-ubyte", {0, 0, 8});
  ExpectError(Data::MNIST, ExitCode::kBadData, {"train-labels-idx1-ubyte"});
  Write("train-labels-idx1-ubyte", {});
  ExpectError(Data::MNIST, ExitCode::kBadData, {"train-labels-idx1-ubyte"});
}

// A count that, times the size of a picture, does not fit into 32 bits.
TEST_F(FilesTest, HugeCount) {
  WriteMnist();
  Bytes images = Images(3, 0);
  images[4] = images[5] = images[6] = images[7] = 0xff;
  Write("train-images-idx3-ubyte", images);
  ExpectError(Data::MNIST, ExitCode::kBadData, {"train-images-idx3-ubyte"});
}

TEST_F(FilesTest, EmptySet) {
  WriteMnist();
  Write("t10k-images-idx3-ubyte", Images(0, 0));
  Write("t10k-labels-idx1-ubyte", Labels({}));
  ExpectError(Data::MNIST, ExitCode::kBadData, {"t10k-images-idx3-ubyte"});
}

TEST_F(FilesTest, CountsThatDiffer) {
  WriteMnist();
  Write("train-labels-idx1-ubyte", Labels({5, 0}));
  ExpectError(Data::MNIST, ExitCode::kBadData,
              {"train-labels-idx1-ubyte", "train-images-idx3-ubyte"});
}

TEST_F(FilesTest, LabelOutOfRange) {
  WriteMnist();
  Write("train-labels-idx1-ubyte", Labels({5, 10, 9}));
  ExpectError(Data::MNIST, ExitCode::kBadData,
              {"train-labels-idx1-ubyte", "label 1 is 10"});
}

TEST_F(FilesTest, DirectoryInPlaceOfAFile) {
  WriteMnist();
  fs::remove(directory_ / "train-images-idx3-ubyte");
  fs::create_directory(directory_ / "train-images-idx3-ubyte");
  ExpectError(Data::MNIST, ExitCode::kBadData, {"train-images-idx3-ubyte"});
}

TEST_F(FilesTest, Cifar10) {
  WriteCifar10();
  const auto data = Open(Data::CIFAR10);
  ASSERT_TRUE(data.ok()) << data.status();
  ASSERT_EQ((*data)->size(Split::kTrain), 10u);
  ASSERT_EQ((*data)->size(Split::kTest), 1u);
  std::vector<float> values(kCifarPixels);
  EXPECT_EQ(ReadLabel(**data, Split::kTrain, 6, values), 4u);
  EXPECT_NEAR(values[1000], (1004 % 256) / 127.5f - 1, 1e-6);
  EXPECT_EQ(ReadLabel(**data, Split::kTrain, 7, values), 0u);
  EXPECT_EQ(ReadLabel(**data, Split::kTest, 0, values), 9u);
}

TEST_F(FilesTest, Cifar10Damage) {
  WriteCifar10();
  Bytes records = Records({1, 2});
  records.pop_back();
  Write("data_batch_3.bin", records);
  ExpectError(Data::CIFAR10, ExitCode::kBadData, {"data_batch_3.bin", "3073"});
  Write("data_batch_3.bin", {});
  ExpectError(Data::CIFAR10, ExitCode::kBadData, {"data_batch_3.bin"});
  Write("data_batch_3.bin", Records({1, 10}));
  ExpectError(Data::CIFAR10, ExitCode::kBadData,
              {"data_batch_3.bin", "byte 3073 is 10"});
  fs::remove(directory_ / "data_batch_3.bin");
  ExpectError(Data::CIFAR10, ExitCode::kInputMissing, {"data_batch_3.bin"});
}

// The real files, where a checkout has them beside it.
TEST(RealFiles, Mnist) {
  const char* set = std::getenv("TERSE_TEST_DATA");
  const fs::path place =
      fs::path(set ? set : TERSE_SOURCE_DIR "/../shared/data") / "mnist";
  if (!fs::exists(place)) GTEST_SKIP() << "no MNIST files in " << place;
  Data data;
  data.set_kind(Data::MNIST);
  const auto opened = OpenDataset(data, place.string(), 1);
  ASSERT_TRUE(opened.ok()) << opened.status();
  ASSERT_EQ((*opened)->size(Split::kTrain), 60000u);
  ASSERT_EQ((*opened)->size(Split::kTest), 10000u);
  // The first labels, as everyone knows them.
  const std::vector<uint32_t> first = {5, 0, 4, 1, 9, 2, 1, 3, 1, 4};
  std::vector<float> values(kMnistPixels);
  double sum = 0;
  for (size_t i = 0; i < first.size(); ++i) {
    EXPECT_EQ(ReadLabel(**opened, Split::kTrain, i, values), first[i]);
  }
  for (uint64_t i = 0; i < 60000; ++i) {
    ReadLabel(**opened, Split::kTrain, i, values);
    sum += std::accumulate(values.begin(), values.end(), 0.0);
  }
  // The mean pixel of the training set is 0.1307 of white.
  EXPECT_NEAR(sum / (60000.0 * kMnistPixels), 0.1307 * 2 - 1, 1e-3);
}

}  // namespace
}  // namespace terse
