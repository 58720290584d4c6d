#include "worker/data/read_file.h"

#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <memory>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/status.h"

namespace terse {
namespace {

constexpr size_t kReadBytes = size_t{1} << 20;

struct GzipCloser {
  void operator()(gzFile file) const { gzclose_r(file); }
};

absl::Status Broken(const std::string& path, std::string_view what) {
  return absl::DataLossError(absl::StrCat(
      path, ": ", std::string(what), "; get the file again from its source"));
}

absl::StatusOr<std::vector<uint8_t>> ReadWhole(const std::string& path,
                                               size_t bytes_max) {
  errno = 0;
  std::unique_ptr<gzFile_s, GzipCloser> file(gzopen(path.c_str(), "rb"));
  if (file == nullptr) {
    const std::string message =
        absl::StrCat(path, ": cannot be opened: ", std::strerror(errno));
    if (errno == EACCES) return absl::PermissionDeniedError(message);
    return absl::NotFoundError(message);
  }
  gzbuffer(file.get(), 1 << 17);
  std::vector<uint8_t> bytes;
  for (;;) {
    const size_t used = bytes.size();
    if (used > bytes_max) {
      return Broken(path, absl::StrCat("is larger than ", bytes_max, " bytes"));
    }
    bytes.resize(used + std::min(kReadBytes, bytes_max + 1 - used));
    const int count = gzread(file.get(), bytes.data() + used,
                             static_cast<unsigned>(bytes.size() - used));
    bytes.resize(used + static_cast<size_t>(std::max(count, 0)));
    // A stream that stops short ends like a whole one but for this error.
    int error = Z_OK;
    const char* text = gzerror(file.get(), &error);
    if (count < 0 || error != Z_OK) {
      if (error == Z_BUF_ERROR) return Broken(path, "is truncated");
      if (error == Z_ERRNO) {
        return Broken(path,
                      absl::StrCat("cannot be read: ", std::strerror(errno)));
      }
      return Broken(path, absl::StrCat("is not whole: ", text));
    }
    if (count == 0) return bytes;
  }
}

}  // namespace

absl::StatusOr<NamedBytes> ReadFirstOf(std::span<const std::string> directories,
                                       std::span<const std::string> names,
                                       size_t bytes_max) {
  for (const std::string& directory : directories) {
    for (const std::string& name : names) {
      const std::filesystem::path path =
          std::filesystem::path(directory) / name;
      std::error_code error;
      if (!std::filesystem::exists(path, error)) continue;
      NamedBytes file{.path = path.string()};
      TERSE_ASSIGN_OR_RETURN(file.bytes, ReadWhole(file.path, bytes_max));
      return file;
    }
  }
  return WithExitCode(
      absl::NotFoundError(absl::StrCat(
          "no file ", absl::StrJoin(names, " or "), " in ",
          absl::StrJoin(directories, " or "),
          "; say where the data lie with --data-dir or data.directory")),
      ExitCode::kInputMissing);
}

}  // namespace terse
