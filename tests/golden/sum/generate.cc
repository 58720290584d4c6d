// Writes the golden files of the sums: golden_sum_generate FOLDER
// [--overwrite].
#include <functional>
#include <map>

#include "tests/golden/sum/sum_cases.h"

namespace terse {
namespace {

using Bytes = std::vector<std::byte>;

struct Damage {
  const char* sum_case;  // Empty: all.
  const char* why;
  const char* code;
  std::function<void(Bytes&)> apply;
};

std::function<void(Bytes&)> PutWord(size_t offset, uint32_t word) {
  return [=](Bytes& bytes) {
    std::memcpy(bytes.data() + offset, &word, sizeof(word));
  };
}

const std::vector<Damage>& Damages() {
  static const auto* const damages = new std::vector<Damage>{
      {"", "cut", "DATA_LOSS", [](Bytes& bytes) { bytes.pop_back(); }},
      {"", "longer", "DATA_LOSS",
       [](Bytes& bytes) { bytes.push_back(std::byte{0}); }},
      {"", "form_7", "DATA_LOSS", PutWord(0, 7)},
      {"", "nan_factor", "INVALID_ARGUMENT", PutWord(4, 0x7fc00000)},
      {"", "negative_next_scale", "INVALID_ARGUMENT", PutWord(8, 0xbf800000)},
      {"floats", "nan", "INVALID_ARGUMENT", PutWord(12, 0x7fc00000)},
      {"sparse", "more_than_all", "DATA_LOSS", PutWord(12, 701)},
      {"payloads", "longer_part", "DATA_LOSS", PutWord(16, 1000000)},
      {"ternary_levels", "another_scale", "DATA_LOSS", PutWord(12, 0x3f800000)},
      {"coded_levels", "another_scale", "DATA_LOSS", PutWord(12, 0x3f800000)},
  };
  return *damages;
}

void WriteAll(GoldenWriter& writer) {
  const auto values =
      ReadGoldenFloats(std::filesystem::path(TERSE_SOURCE_DIR) /
                       "tests/golden/codec/inputs/gaussian_700.f32");
  for (const SumCase& one : kSumCases) {
    const SumRound round(one, values);
    const auto message = round.message().bytes();
    const std::string name = one.name;
    writer.Write("good/" + name + ".sum", message);
    writer.WriteFloats("good/" + name + ".f32", round.mean());
    for (const Damage& damage : Damages()) {
      if (damage.sum_case[0] != 0 && damage.sum_case != name) continue;
      Bytes bytes(message.begin(), message.end());
      damage.apply(bytes);
      writer.Write(
          "bad/" + name + "__" + damage.why + "." + damage.code + ".sum",
          bytes);
    }
  }
}

}  // namespace
}  // namespace terse

int main(int argc, char** argv) {
  return terse::GenerateGolden(argc, argv, terse::WriteAll);
}
