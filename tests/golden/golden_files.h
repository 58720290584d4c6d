// Golden files: bytes that a format must keep, read by tests and written by
// generators which no test runs.
#ifndef TERSE_TESTS_GOLDEN_GOLDEN_FILES_H_
#define TERSE_TESTS_GOLDEN_GOLDEN_FILES_H_

#include <cstddef>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "common/base/status.h"

namespace terse {

inline std::vector<std::byte> ReadGolden(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::vector<std::byte> bytes;
  for (char c; file.get(c);) bytes.push_back(static_cast<std::byte>(c));
  return bytes;
}

inline std::vector<float> ReadGoldenFloats(const std::filesystem::path& path) {
  const auto bytes = ReadGolden(path);
  std::vector<float> values(bytes.size() / sizeof(float));
  if (!bytes.empty()) std::memcpy(values.data(), bytes.data(), bytes.size());
  return values;
}

// Keeps a file that is there and counts it as an error unless it is equal or
// may be overwritten: a change of bytes is a change of format.
class GoldenWriter {
 public:
  GoldenWriter(std::filesystem::path folder, bool overwrite)
      : folder_(std::move(folder)), overwrite_(overwrite) {}

  void Write(const std::string& name, std::span<const std::byte> bytes) {
    const std::filesystem::path path = folder_ / name;
    if (std::filesystem::exists(path)) {
      const auto there = ReadGolden(path);
      if (std::equal(there.begin(), there.end(), bytes.begin(), bytes.end())) {
        return;
      }
      if (!overwrite_) {
        std::fprintf(stderr, "%s differs; give --overwrite to replace it\n",
                     path.c_str());
        ++differing_;
        return;
      }
    }
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path, std::ios::binary)
        .write(reinterpret_cast<const char*>(bytes.data()),
               static_cast<std::streamsize>(bytes.size()));
  }

  void WriteFloats(const std::string& name, const std::vector<float>& values) {
    Write(name, std::as_bytes(std::span(values)));
  }

  int differing() const { return differing_; }

 private:
  std::filesystem::path folder_;
  bool overwrite_;
  int differing_ = 0;
};

// main of a generator, whose arguments are FOLDER [--overwrite].
inline int GenerateGolden(int argc, char** argv, void (*write)(GoldenWriter&)) {
  const bool overwrite = argc == 3 && std::string(argv[2]) == "--overwrite";
  if (argc != 2 && !overwrite) {
    std::fprintf(stderr, "usage: %s FOLDER [--overwrite]\n", argv[0]);
    return static_cast<int>(ExitCode::kBadCommandLine);
  }
  GoldenWriter writer(argv[1], overwrite);
  write(writer);
  return writer.differing() == 0 ? 0 : 1;
}

}  // namespace terse

#endif  // TERSE_TESTS_GOLDEN_GOLDEN_FILES_H_
