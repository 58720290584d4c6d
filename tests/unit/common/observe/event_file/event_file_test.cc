// Reads event files back by a reader of their own: bit-by-bit CRCs, and the
// wire format of protocol buffers by hand.
#include "common/observe/event_file.h"

#include <unistd.h>

#include <bit>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <optional>
#include <vector>

#include "gtest/gtest.h"

namespace terse {
namespace {

uint32_t SlowMaskedCrc(const std::string& bytes) {
  uint32_t crc = ~0u;
  for (const unsigned char byte : bytes) {
    crc ^= byte;
    for (int bit = 0; bit < 8; ++bit) {
      crc = (crc >> 1) ^ (crc & 1 ? 0x82f63b78u : 0u);
    }
  }
  crc = ~crc;
  return std::rotr(crc, 15) + 0xa282ead8u;
}

template <typename Integer>
Integer Little(const std::string& bytes, size_t place) {
  Integer value = 0;
  for (size_t i = 0; i < sizeof(Integer); ++i) {
    value |= Integer(static_cast<unsigned char>(bytes.at(place + i)))
             << (8 * i);
  }
  return value;
}

// The records of a file whose checksums are right; fewer if one is not.
std::vector<std::string> ReadRecords(const std::string& file) {
  std::vector<std::string> records;
  size_t place = 0;
  while (place + 12 <= file.size()) {
    const uint64_t length = Little<uint64_t>(file, place);
    const bool length_good = SlowMaskedCrc(file.substr(place, 8)) ==
                             Little<uint32_t>(file, place + 8);
    if (!length_good || place + 16 + length > file.size()) break;
    const std::string data = file.substr(place + 12, length);
    if (SlowMaskedCrc(data) != Little<uint32_t>(file, place + 12 + length)) {
      break;
    }
    records.push_back(data);
    place += 16 + length;
  }
  EXPECT_EQ(place, file.size()) << "a record is broken";
  return records;
}

// Fields of a message: number to values, fixed ones and lengths as bytes.
using Fields = std::multimap<int, std::string>;

Fields ReadFields(const std::string& bytes) {
  Fields fields;
  size_t place = 0;
  const auto varint = [&] {
    uint64_t value = 0;
    for (int shift = 0;; shift += 7) {
      const auto byte = static_cast<unsigned char>(bytes.at(place++));
      value |= uint64_t(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
  };
  while (place < bytes.size()) {
    const uint64_t key = varint();
    size_t length = 0;
    if ((key & 7) == 0) {
      fields.emplace(key >> 3, std::to_string(varint()));
      continue;
    }
    length = (key & 7) == 1 ? 8 : (key & 7) == 5 ? 4 : varint();
    fields.emplace(key >> 3, bytes.substr(place, length));
    place += length;
  }
  return fields;
}

double AsDouble(const std::string& bytes) {
  return std::bit_cast<double>(Little<uint64_t>(bytes, 0));
}

float AsFloat(const std::string& bytes) {
  return std::bit_cast<float>(Little<uint32_t>(bytes, 0));
}

class EventFileTest : public testing::Test {
 protected:
  EventFileTest()
      : directory_(std::filesystem::path(testing::TempDir()) /
                   ("event_file_test-" + std::to_string(getpid()))) {
    std::filesystem::remove_all(directory_);
    file_ = *EventFile::Create(directory_, absl::FromUnixSeconds(1000));
  }
  ~EventFileTest() override { std::filesystem::remove_all(directory_); }

  std::string Content() const {
    for (const auto& entry : std::filesystem::directory_iterator(directory_)) {
      EXPECT_TRUE(entry.path().filename().string().starts_with(
          "events.out.tfevents.1000."));
      std::ifstream stream(entry.path(), std::ios::binary);
      return {std::istreambuf_iterator<char>(stream), {}};
    }
    return "";
  }

  const std::filesystem::path directory_;
  std::unique_ptr<EventFile> file_;
};

TEST_F(EventFileTest, BeginsWithItsVersion) {
  const std::vector<std::string> records = ReadRecords(Content());
  ASSERT_EQ(records.size(), 1u);
  const Fields event = ReadFields(records[0]);
  EXPECT_EQ(AsDouble(event.find(1)->second), 1000);
  EXPECT_EQ(event.find(3)->second, "brain.Event:2");
}

TEST_F(EventFileTest, WritesCurvesOfProgress) {
  file_->Write({{"event", "progress"},
                {"step", 300},
                {"train_loss", 0.5},
                {"learning_rate", 0.25},
                {"bits_per_element_up", 1.75},
                {"time_ms", {{"encode", 2.0}}}},
               absl::FromUnixSeconds(1001));
  file_->Write(
      {{"event", "evaluation"}, {"step", 300}, {"test_accuracy", 0.75}},
      absl::FromUnixSeconds(1002));
  const std::vector<std::string> records = ReadRecords(Content());
  ASSERT_EQ(records.size(), 3u);
  std::map<std::string, float> scalars;
  for (size_t i = 1; i < records.size(); ++i) {
    const Fields event = ReadFields(records[i]);
    EXPECT_EQ(event.find(2)->second, "300");
    const Fields summary = ReadFields(event.find(5)->second);
    for (auto [value, end] = summary.equal_range(1); value != end; ++value) {
      const Fields fields = ReadFields(value->second);
      scalars[fields.find(1)->second] = AsFloat(fields.find(2)->second);
    }
  }
  EXPECT_EQ(scalars, (std::map<std::string, float>{
                         {"test/accuracy", 0.75f},
                         {"time_ms/encode", 2.0f},
                         {"train/learning_rate", 0.25f},
                         {"train/loss", 0.5f},
                         {"wire/bits_per_element_up", 1.75f}}));
}

TEST_F(EventFileTest, WritesHistogramsOfTensors) {
  const nlohmann::json histogram = {{"min", -1.0},
                                    {"max", 1.0},
                                    {"sum", 0.5},
                                    {"sum_squares", 2.0},
                                    {"counts", {1, 3}}};
  file_->Write({{"event", "observation"},
                {"step", 7},
                {"tensors",
                 {{{"name", "fc1.weight"},
                   {"shadow_weights", histogram},
                   {"residual", histogram}}}}},
               absl::FromUnixSeconds(1001));
  const std::vector<std::string> records = ReadRecords(Content());
  ASSERT_EQ(records.size(), 2u);
  const Fields summary = ReadFields(ReadFields(records[1]).find(5)->second);
  ASSERT_EQ(summary.size(), 2u);
  const Fields value = ReadFields(std::next(summary.begin())->second);
  EXPECT_EQ(value.find(1)->second, "shadow_weights/fc1.weight");
  const Fields histo = ReadFields(value.find(5)->second);
  EXPECT_EQ(AsDouble(histo.find(1)->second), -1);
  EXPECT_EQ(AsDouble(histo.find(2)->second), 1);
  EXPECT_EQ(AsDouble(histo.find(3)->second), 4);
  const std::string limits = histo.find(6)->second;
  const std::string buckets = histo.find(7)->second;
  ASSERT_EQ(limits.size(), 16u);
  EXPECT_EQ(AsDouble(limits), 0);
  EXPECT_EQ(AsDouble(limits.substr(8)), 1);
  EXPECT_EQ(AsDouble(buckets.substr(8)), 3);
}

TEST_F(EventFileTest, TellsNothingOfEventsWithoutNumbers) {
  file_->Write({{"event", "joined"}, {"rank", 1}}, absl::Now());
  EXPECT_EQ(ReadRecords(Content()).size(), 1u);
}

TEST(EventFileErrorTest, NamesAFolderThatCannotBeWritten) {
  const auto file = EventFile::Create("/proc/none", absl::Now());
  ASSERT_FALSE(file.ok());
  EXPECT_NE(file.status().message().find("/proc/none"), std::string::npos);
}

}  // namespace
}  // namespace terse
