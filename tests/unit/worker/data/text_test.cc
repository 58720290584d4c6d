#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "common/base/status.h"
#include "common/plan/model_spec.h"
#include "worker/data/dataset.h"
#include "worker/data/text_dataset.h"

namespace terse {
namespace {

namespace fs = std::filesystem;

Data TextData(uint32_t sequence) {
  Data data;
  data.set_kind(Data::TEXT);
  data.set_sequence(sequence);
  return data;
}

std::vector<uint8_t> Letters(size_t count) {
  std::vector<uint8_t> text(count);
  for (size_t i = 0; i < count; ++i)
    text[i] = static_cast<uint8_t>(32 + i % 95);
  return text;
}

struct Sample {
  std::vector<float> values;
  std::vector<uint32_t> labels;
};

Sample ReadSample(const Dataset& data, Split split, uint64_t index,
                  size_t sequence) {
  Sample sample{std::vector<float>(sequence), std::vector<uint32_t>(sequence)};
  data.Read(split, index, sample.values, sample.labels);
  return sample;
}

TEST(CharacterNumber, CountsTheNewlineAndWhatIsPrintable) {
  EXPECT_EQ(CharacterNumber(Data::ASCII, '\n'), 0);
  EXPECT_EQ(CharacterNumber(Data::ASCII, ' '), 1);
  EXPECT_EQ(CharacterNumber(Data::ASCII, '~'), 95);
  for (const uint8_t other : {'\t', '\r', '\x1f', '\x7f', '\x80', '\xff'}) {
    EXPECT_EQ(CharacterNumber(Data::ASCII, other), -1) << int{other};
  }
  EXPECT_EQ(CharacterNumber(Data::BYTES, 0xff), 255);
  // As many as the network has classes.
  EXPECT_EQ(DataShapeOf(TextData(5)).classes, 96u);
  Data bytes = TextData(5);
  bytes.set_alphabet(Data::BYTES);
  EXPECT_EQ(DataShapeOf(bytes).classes, 256u);
}

// Of 2000 characters 1800 are for training, 100 for validation.
TEST(TextDataset, CutsTheTextIntoPartsAndWindows) {
  constexpr size_t kSequence = 7;
  const auto made = TextDataset::Make(TextData(kSequence), "t", Letters(2000));
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_EQ((*made)->size(Split::kTrain), 1799u / 7);
  EXPECT_EQ((*made)->size(Split::kTest), 99u / 7);
  for (const uint64_t index : {0, 3, 256}) {
    const Sample sample = ReadSample(**made, Split::kTrain, index, kSequence);
    for (size_t i = 0; i < kSequence; ++i) {
      const size_t place = index * kSequence + i;
      EXPECT_EQ(sample.values[i], 1 + place % 95);
      EXPECT_EQ(sample.labels[i], 1 + (place + 1) % 95);
    }
  }
  EXPECT_EQ(ReadSample(**made, Split::kTest, 0, kSequence).values[0],
            1 + 1900 % 95);
  Data validation = TextData(kSequence);
  validation.set_evaluate(Data::VALIDATION);
  const auto other = TextDataset::Make(validation, "t", Letters(2000));
  ASSERT_TRUE(other.ok());
  EXPECT_EQ(ReadSample(**other, Split::kTest, 0, kSequence).values[0],
            1 + 1800 % 95);
}

TEST(TextDataset, NamesTheByteThatTheAlphabetLacks) {
  std::vector<uint8_t> text = Letters(2000);
  text[1234] = 0xc3;
  const auto made = TextDataset::Make(TextData(7), "story.txt", text);
  EXPECT_EQ(ExitCodeOf(made.status()), ExitCode::kBadData);
  EXPECT_EQ(made.status().message(),
            "story.txt: byte 1234 is 0xc3, which is neither a newline nor "
            "printable ASCII; set data.alphabet: bytes");
  Data bytes = TextData(7);
  bytes.set_alphabet(Data::BYTES);
  EXPECT_TRUE(TextDataset::Make(bytes, "story.txt", text).ok());
}

TEST(TextDataset, RefusesTextWithoutASampleInAPart) {
  // The test's 51 characters hold a sample of 50 and its last label.
  EXPECT_TRUE(TextDataset::Make(TextData(50), "t", Letters(1010)).ok());
  for (const size_t characters : {0, 1, 20, 1000}) {
    const auto made = TextDataset::Make(TextData(50), "t", Letters(characters));
    EXPECT_EQ(ExitCodeOf(made.status()), ExitCode::kBadData) << characters;
  }
}

class TextFile : public testing::Test {
 protected:
  TextFile()
      : directory_(fs::path(testing::TempDir()) /
                   ("terse-text-" + std::string(testing::UnitTest::GetInstance()
                                                    ->current_test_info()
                                                    ->name()))) {
    fs::create_directories(directory_);
    const std::vector<uint8_t> text = Letters(2000);
    std::ofstream(directory_ / "a.txt", std::ios::binary)
        .write(reinterpret_cast<const char*>(text.data()),
               static_cast<std::streamsize>(text.size()));
  }
  ~TextFile() override { fs::remove_all(directory_); }

  fs::path directory_;
};

TEST_F(TextFile, IsOpenedByNameOrByPath) {
  Data data = TextData(7);
  data.set_file("a.txt");
  EXPECT_TRUE(OpenDataset(data, directory_.string(), 1).ok());
  data.set_file((directory_ / "a.txt").string());
  EXPECT_TRUE(OpenDataset(data, "", 1).ok());
}

TEST_F(TextFile, ThatIsMissingIsNamed) {
  Data data = TextData(7);
  data.set_file("b.txt");
  const auto missing = OpenDataset(data, directory_.string(), 1).status();
  EXPECT_EQ(ExitCodeOf(missing), ExitCode::kInputMissing);
  EXPECT_NE(missing.message().find("b.txt"), std::string::npos);
  const auto nowhere = OpenDataset(data, "", 1).status();
  EXPECT_EQ(ExitCodeOf(nowhere), ExitCode::kInputMissing);
  EXPECT_NE(nowhere.message().find("--data-dir"), std::string::npos);
}

TEST(InventedText, IsAFunctionOfTheSeed) {
  Data data = TextData(16);
  data.set_characters(20000);
  const auto first = OpenDataset(data, "", 1);
  const auto again = OpenDataset(data, "", 1);
  const auto other = OpenDataset(data, "", 2);
  ASSERT_TRUE(first.ok() && again.ok() && other.ok());
  EXPECT_EQ((*first)->size(Split::kTrain), 17999u / 16);
  const Sample sample = ReadSample(**first, Split::kTrain, 40, 16);
  EXPECT_EQ(sample.values, ReadSample(**again, Split::kTrain, 40, 16).values);
  EXPECT_NE(sample.values, ReadSample(**other, Split::kTrain, 40, 16).values);
}

// Spelling and successors can be learned: five characters mostly tell the next.
TEST(InventedText, CanBePredicted) {
  Data data = TextData(1000);
  data.set_characters(100000);
  const auto text = OpenDataset(data, "", 1);
  ASSERT_TRUE(text.ok());
  std::map<std::vector<float>, std::map<uint32_t, int>> followers;
  int right = 0, total = 0;
  for (uint64_t s = 0; s < 80; ++s) {
    const Sample sample = ReadSample(**text, Split::kTrain, s, 1000);
    for (size_t i = 5; i < 1000; ++i) {
      auto& counts = followers[std::vector<float>(
          sample.values.begin() + static_cast<ptrdiff_t>(i) - 4,
          sample.values.begin() + static_cast<ptrdiff_t>(i) + 1)];
      if (s >= 40 && !counts.empty()) {
        ++total;
        right += std::max_element(counts.begin(), counts.end(),
                                  [](const auto& a, const auto& b) {
                                    return a.second < b.second;
                                  })
                     ->first == sample.labels[i];
      }
      ++counts[sample.labels[i]];
    }
  }
  EXPECT_GT(right, total / 2);
  EXPECT_LT(right, total * 19 / 20);
}

}  // namespace
}  // namespace terse
