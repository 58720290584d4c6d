// Writes the golden files of mirrors: golden_mirror_generate FOLDER
// [--overwrite].
#include "tests/golden/golden_files.h"
#include "tests/golden/mirror/mirror_cases.h"

namespace terse {
namespace {

void WriteAll(GoldenWriter& writer) {
  for (const auto& [name, overrides] : MirrorCases()) {
    writer.Write("good/" + name + ".mirror",
                 MirrorCase(overrides, false).bytes());
    writer.Write("good/" + name + ".mirror_sum",
                 MirrorCase(overrides, true).bytes());
  }
}

}  // namespace
}  // namespace terse

int main(int argc, char** argv) {
  return terse::GenerateGolden(argc, argv, terse::WriteAll);
}
