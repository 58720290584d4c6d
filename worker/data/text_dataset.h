// Samples that are windows of one text.
#ifndef TERSE_WORKER_DATA_TEXT_DATASET_H_
#define TERSE_WORKER_DATA_TEXT_DATASET_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "proto/job.pb.h"
#include "worker/data/dataset.h"

namespace terse {

// The number of a character in the alphabet; -1: it has none. ASCII counts the
// newline as 0 and then from the space on.
int CharacterNumber(Data::Alphabet alphabet, uint8_t character);

// Of a text of n characters, [0, 9n/10) are for training, up to the middle of
// the rest for validation, and what is left for the test, as tiny Shakespeare
// is published. A split has as many samples as windows of `sequence` characters
// follow each other in it; their labels are the characters one further on.
class TextDataset final : public Dataset {
 public:
  // Errors: DataLoss (exit code 65: a character outside of data.alphabet, a
  // text whose splits do not hold a sample). `name` is for messages.
  static absl::StatusOr<std::unique_ptr<Dataset>> Make(
      const Data& data, const std::string& name, std::vector<uint8_t> text);

  uint64_t size(Split split) const override { return Of(split).samples; }
  void Read(Split split, uint64_t index, std::span<float> values,
            std::span<uint32_t> labels) const override;

 private:
  struct Part {
    uint64_t first = 0;  // Character of the text.
    uint64_t samples = 0;
  };

  TextDataset(const Data& data, std::vector<uint8_t> numbers);
  Part PartOf(uint64_t first, uint64_t end) const;
  const Part& Of(Split split) const {
    return split == Split::kTrain ? train_ : test_;
  }

  uint64_t sequence_;
  std::vector<uint8_t> numbers_;  // Of the text's characters.
  Part train_;
  Part test_;
};

}  // namespace terse

#endif  // TERSE_WORKER_DATA_TEXT_DATASET_H_
