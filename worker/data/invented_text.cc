// Text without a file: sentences of invented words. A word has few successors,
// so that there is something to learn beyond the spelling.
#include <array>
#include <string>
#include <utility>
#include <vector>

#include "common/base/random.h"
#include "worker/data/sources.h"
#include "worker/data/text_dataset.h"

namespace terse {
namespace {

constexpr size_t kWords = 300;
constexpr size_t kSuccessors = 8;

// Numbers drawn one after the other.
class Draws {
 public:
  explicit Draws(uint64_t key) : key_(key) {}
  size_t Below(size_t end) {
    return static_cast<size_t>(RandomUnit(key_, index_++) *
                               static_cast<float>(end));
  }
  bool OneIn(size_t count) { return Below(count) == 0; }

 private:
  uint64_t key_;
  uint64_t index_ = 0;
};

struct Word {
  std::string spelling;
  std::array<size_t, kSuccessors> successors;
};

std::vector<Word> InventWords(Draws& draws) {
  constexpr std::array<const char*, 16> kOnsets = {
      "b", "d", "f", "g", "h",  "k",  "l",  "m",
      "n", "p", "r", "s", "th", "st", "sh", "w"};
  constexpr std::array<const char*, 8> kVowels = {"a", "e",  "i",  "o",
                                                  "u", "ea", "ou", "ai"};
  constexpr std::array<const char*, 8> kCodas = {"",  "",  "n", "r",
                                                 "s", "t", "l", "nd"};
  std::vector<Word> words(kWords);
  for (Word& word : words) {
    const size_t syllables = 1 + draws.Below(3);
    for (size_t i = 0; i < syllables; ++i) {
      word.spelling += kOnsets[draws.Below(kOnsets.size())];
      word.spelling += kVowels[draws.Below(kVowels.size())];
      word.spelling += kCodas[draws.Below(kCodas.size())];
    }
    for (size_t& successor : word.successors) {
      successor = draws.Below(kWords);
    }
  }
  return words;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Dataset>> MakeText(const Data& data,
                                                  uint64_t seed) {
  Draws draws(DrawKey(Draw::kGenerate, {seed}));
  const std::vector<Word> words = InventWords(draws);
  std::vector<uint8_t> text;
  size_t word = 0;
  bool starts = true;  // A sentence.
  while (text.size() < data.characters()) {
    const size_t first = text.size();
    const std::string& spelling = words[word].spelling;
    text.insert(text.end(), spelling.begin(), spelling.end());
    if (starts) text[first] = static_cast<uint8_t>(text[first] - 'a' + 'A');
    starts = draws.OneIn(9);
    if (starts) {
      text.push_back(draws.OneIn(6) ? '?' : '.');
    } else if (draws.OneIn(10)) {
      text.push_back(',');
    }
    text.push_back(starts && draws.OneIn(3) ? '\n' : ' ');
    // The first successors are the more frequent ones.
    size_t rank = 0;
    while (rank + 1 < kSuccessors && !draws.OneIn(2)) ++rank;
    word = words[word].successors[rank];
  }
  text.resize(data.characters());
  return TextDataset::Make(data, "generated text", std::move(text));
}

}  // namespace terse
