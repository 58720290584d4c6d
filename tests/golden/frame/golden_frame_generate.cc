// Writes the golden frames below a folder. Files that exist and differ are kept
// unless --overwrite says that the format has changed on purpose.
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "tests/golden/frame/golden_frames.h"

namespace {

bool Write(const std::filesystem::path& path, const std::string& bytes,
           bool overwrite) {
  std::ifstream old(path, std::ios::binary);
  if (old.is_open() && !overwrite) {
    const std::string content{std::istreambuf_iterator<char>(old), {}};
    if (content == bytes) return true;
    std::fprintf(stderr, "%s differs; --overwrite replaces it\n", path.c_str());
    return false;
  }
  std::filesystem::create_directories(path.parent_path());
  std::ofstream file(path, std::ios::binary);
  file << bytes;
  return file.flush().good();
}

}  // namespace

int main(int argc, char** argv) {
  const bool overwrite = argc == 3 && std::string(argv[2]) == "--overwrite";
  if (argc != 2 && !overwrite) {
    std::fprintf(stderr, "usage: %s FOLDER [--overwrite]\n", argv[0]);
    return 2;
  }
  const std::filesystem::path folder = argv[1];
  bool ok = true;
  for (const auto& [file, frame] : terse::GoodFrames()) {
    ok &= Write(folder / "good" / (file + ".frame"), terse::Bytes(frame),
                overwrite);
  }
  for (const auto& [file, bytes] : terse::BadFrames()) {
    ok &= Write(folder / "bad" / (file + ".frame"), bytes, overwrite);
  }
  return ok ? 0 : 1;
}
