#include <array>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "worker/data/read_file.h"
#include "worker/data/sources.h"
#include "worker/data/text_dataset.h"

namespace terse {
namespace {

constexpr size_t kFileBytesMax = size_t{1} << 30;

absl::Status BadText(const std::string& name, const std::string& text) {
  return WithExitCode(absl::DataLossError(absl::StrCat(name, ": ", text)),
                      ExitCode::kBadData);
}

}  // namespace

int CharacterNumber(Data::Alphabet alphabet, uint8_t character) {
  if (alphabet == Data::BYTES) return character;
  if (character == '\n') return 0;
  return character >= ' ' && character <= '~' ? character - ' ' + 1 : -1;
}

absl::StatusOr<std::unique_ptr<Dataset>> TextDataset::Make(
    const Data& data, const std::string& name, std::vector<uint8_t> text) {
  for (size_t i = 0; i < text.size(); ++i) {
    const int number = CharacterNumber(data.alphabet(), text[i]);
    if (number < 0) {
      return BadText(name,
                     absl::StrCat("byte ", i, " is 0x",
                                  absl::Hex(text[i], absl::kZeroPad2),
                                  ", which is neither a newline nor printable ",
                                  "ASCII; set data.alphabet: bytes"));
    }
    text[i] = static_cast<uint8_t>(number);
  }
  const size_t characters = text.size();
  std::unique_ptr<TextDataset> dataset(new TextDataset(data, std::move(text)));
  if (dataset->train_.samples == 0 || dataset->test_.samples == 0) {
    return BadText(
        name,
        absl::StrCat("has ", characters, " characters; the twentieth part of ",
                     "it that is evaluated must hold a sample of ",
                     data.sequence(), " and one more; take more text or lower ",
                     "data.sequence"));
  }
  return dataset;
}

TextDataset::TextDataset(const Data& data, std::vector<uint8_t> numbers)
    : sequence_(data.sequence()), numbers_(std::move(numbers)) {
  const uint64_t size = numbers_.size();
  const uint64_t train_end = size * 9 / 10;
  const uint64_t validation_end = train_end + (size - train_end) / 2;
  train_ = PartOf(0, train_end);
  test_ = data.evaluate() == Data::VALIDATION
              ? PartOf(train_end, validation_end)
              : PartOf(validation_end, size);
}

// The last character of a part is nothing but a label.
TextDataset::Part TextDataset::PartOf(uint64_t first, uint64_t end) const {
  const uint64_t labels = end > first ? end - first - 1 : 0;
  return {.first = first, .samples = labels / sequence_};
}

void TextDataset::Read(Split split, uint64_t index, std::span<float> values,
                       std::span<uint32_t> labels) const {
  const Part& part = Of(split);
  TERSE_CHECK(index < part.samples && values.size() == sequence_ &&
              labels.size() == sequence_);
  const uint8_t* from = numbers_.data() + part.first + index * sequence_;
  for (uint64_t i = 0; i < sequence_; ++i) {
    values[i] = from[i];
    labels[i] = from[i + 1];
  }
}

absl::StatusOr<std::unique_ptr<Dataset>> OpenText(
    const Data& data, const std::string& directory) {
  const std::array directories = {directory};
  const std::array names = {data.file(), data.file() + ".gz"};
  TERSE_ASSIGN_OR_RETURN(NamedBytes file,
                         ReadFirstOf(directories, names, kFileBytesMax));
  return TextDataset::Make(data, file.path, std::move(file.bytes));
}

}  // namespace terse
