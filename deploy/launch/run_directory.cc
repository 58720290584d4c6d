#include "deploy/launch/run_directory.h"

#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "common/base/status.h"
#include "deploy/launch/process.h"

namespace terse {
namespace {

namespace fs = std::filesystem;

absl::Status DiskError(const std::string& what, const std::string& why) {
  return WithExitCode(absl::UnavailableError(absl::StrCat(what, ": ", why)),
                      ExitCode::kDisk);
}

std::string FileNameOf(std::string_view name) {
  std::string safe;
  for (const char letter : name) {
    const bool plain = absl::ascii_isalnum(letter) || letter == '.' ||
                       letter == '_' || letter == '-';
    safe += plain ? letter : '-';
  }
  // A name that begins with a dot would hide the run.
  if (!safe.empty() && safe.front() == '.') safe.front() = '-';
  return safe.substr(0, 100);
}

// Points runs/latest to `directory`. A convenience: failing is no error.
void PointLatest(const fs::path& directory) {
  const fs::path latest = directory.parent_path() / "latest";
  std::error_code error;
  if (fs::exists(fs::symlink_status(latest, error)) &&
      !fs::is_symlink(latest, error)) {
    return;
  }
  // Renamed into place, so that it never points nowhere.
  const fs::path fresh =
      directory.parent_path() / absl::StrCat(".latest-", getpid());
  fs::create_directory_symlink(directory.filename(), fresh, error);
  if (!error) fs::rename(fresh, latest, error);
  if (error) fs::remove(fresh, error);
}

}  // namespace

absl::StatusOr<std::string> MakeRunDirectory(const std::string& wanted,
                                             std::string_view name,
                                             absl::Time now, bool reuse) {
  const fs::path directory =
      wanted.empty() ? fs::path("runs") /
                           absl::StrCat(FileNameOf(name), "-",
                                        absl::FormatTime("%Y%m%d-%H%M%S", now,
                                                         absl::UTCTimeZone()),
                                        "-", getpid())
                     : fs::path(wanted);
  std::error_code error;
  const bool filled =
      fs::exists(directory, error) && !fs::is_empty(directory, error);
  if (filled && !(reuse && fs::exists(directory / "job.yaml", error))) {
    return WithExitCode(
        absl::AlreadyExistsError(absl::StrCat(
            "--run-dir ", directory.string(),
            " is not empty: name a new folder, a run keeps its own")),
        ExitCode::kBadCommandLine);
  }
  fs::create_directories(directory / "logs", error);
  if (error) {
    return DiskError(
        absl::StrCat("cannot make the run directory ", directory.string()),
        error.message());
  }
  if (wanted.empty()) PointLatest(directory);
  return directory.string();
}

absl::Status WriteFile(const std::string& path, std::string_view text) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  const bool replace = !fs::exists(status) || fs::is_regular_file(status);
  const std::string target =
      replace ? absl::StrCat(path, ".tmp-", getpid()) : path;
  std::FILE* file = std::fopen(target.c_str(), "we");
  const std::string what = absl::StrCat("cannot write ", path);
  if (file == nullptr) return DiskError(what, std::strerror(errno));
  bool good = std::fwrite(text.data(), 1, text.size(), file) == text.size();
  good &= std::fflush(file) == 0;
  if (good && replace) good = fsync(fileno(file)) == 0;
  int failure = good ? 0 : errno;
  if (std::fclose(file) != 0 && failure == 0) failure = errno;
  if (failure == 0 && replace && std::rename(target.c_str(), path.c_str())) {
    failure = errno;
  }
  if (failure == 0) return absl::OkStatus();
  if (replace) fs::remove(target, error);
  return DiskError(what, std::strerror(failure));
}

absl::StatusOr<std::string> ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    return absl::NotFoundError(
        absl::StrCat("cannot read ", path, ": ", std::strerror(errno)));
  }
  std::string text((std::istreambuf_iterator<char>(file)),
                   std::istreambuf_iterator<char>());
  if (file.bad()) {
    return DiskError(absl::StrCat("cannot read ", path), std::strerror(errno));
  }
  return text;
}

absl::Status CheckWritable(const std::string& path) {
  const fs::path parent = fs::path(path).parent_path();
  std::error_code error;
  const std::string what = absl::StrCat("cannot write ", path);
  if (fs::is_directory(path, error)) return DiskError(what, "it is a folder");
  const std::string asked = fs::exists(path, error) ? path
                            : parent.empty()        ? "."
                                                    : parent.string();
  if (access(asked.c_str(), W_OK) != 0) {
    return DiskError(what, absl::StrCat(asked, ": ", std::strerror(errno)));
  }
  return absl::OkStatus();
}

absl::Status KeepCommand(const std::string& run_directory,
                         std::string_view job_yaml,
                         const std::vector<std::string>& command_line,
                         absl::Time now) {
  TERSE_RETURN_IF_ERROR(WriteFile(run_directory + "/job.yaml", job_yaml));
  std::error_code error;
  return WriteFile(
      run_directory + "/cmd.txt",
      absl::StrCat(
          "# ", absl::FormatTime(absl::RFC3339_sec, now, absl::UTCTimeZone()),
          ", in ", std::filesystem::current_path(error).string(), "\n",
          ShellLine(command_line), "\n"));
}

absl::Status CheckDataDirectory(const std::string& directory) {
  std::error_code error;
  if (directory.empty() || std::filesystem::is_directory(directory, error)) {
    return absl::OkStatus();
  }
  return WithExitCode(
      absl::NotFoundError(
          absl::StrCat("--data-dir ", directory, ": there is no such folder")),
      ExitCode::kInputMissing);
}

}  // namespace terse
