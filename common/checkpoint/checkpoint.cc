#include "common/checkpoint/checkpoint.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <span>
#include <type_traits>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/base/crc32c.h"
#include "common/base/limits.h"
#include "common/base/status.h"
#include "nlohmann/json.hpp"

namespace terse {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr char kManifestName[] = "manifest.json";
constexpr char kFolderPrefix[] = "step-";
constexpr char kFormatName[] = "terse checkpoint";
constexpr int kFormatVersion = 1;
constexpr char kChecksumKey[] = "crc32c";

absl::Status DiskError(const std::string& path, const std::string& what,
                       int error) {
  return WithExitCode(absl::UnavailableError(absl::StrCat(
                          path, ": ", what, ": ", std::strerror(error))),
                      ExitCode::kDisk);
}

absl::Status Damaged(const std::string& source, const std::string& what) {
  return WithExitCode(absl::DataLossError(absl::StrCat(source, ": ", what)),
                      ExitCode::kBadData);
}

absl::Status Missing(const std::string& message) {
  return WithExitCode(absl::NotFoundError(message), ExitCode::kInputMissing);
}

// The version that a folder's name says; nothing for other names.
std::optional<uint64_t> VersionOf(const std::string& name) {
  uint64_t version = 0;
  if (!name.starts_with(kFolderPrefix) ||
      !absl::SimpleAtoi(name.substr(std::strlen(kFolderPrefix)), &version)) {
    return std::nullopt;
  }
  return version;
}

// Versions with a folder of theirs in `folder`, the newest first.
std::vector<std::pair<uint64_t, std::string>> VersionFolders(
    const std::string& folder) {
  std::vector<std::pair<uint64_t, std::string>> found;
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    if (const auto version = VersionOf(name)) {
      found.emplace_back(*version, entry->path().string());
    }
  }
  std::sort(found.rbegin(), found.rend());
  return found;
}

template <typename T>
bool Get(const Json& json, const char* key, T& value) {
  const auto found = json.find(key);
  if (found == json.end()) return false;
  if constexpr (std::is_same_v<T, std::string>) {
    if (!found->is_string()) return false;
  } else if (!found->is_number_unsigned() ||
             found->template get<uint64_t>() > std::numeric_limits<T>::max()) {
    return false;
  }
  value = found->template get<T>();
  return true;
}

// Of a manifest without its own checksum, as JSON with sorted keys and no
// spaces.
uint32_t ChecksumOf(Json json) {
  json.erase(kChecksumKey);
  const std::string text =
      json.dump(-1, ' ', false, Json::error_handler_t::replace);
  return Crc32c(std::as_bytes(std::span(text)));
}

absl::StatusOr<CheckpointManifest> ReadManifest(const std::string& folder) {
  const std::string path = absl::StrCat(folder, "/", kManifestName);
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    const int error = errno;
    if (error == ENOENT || error == ENOTDIR) {
      return Missing(
          absl::StrCat(folder, " is no checkpoint: it has no ", kManifestName));
    }
    return DiskError(path, "cannot read", error);
  }
  const std::string text((std::istreambuf_iterator<char>(file)),
                         std::istreambuf_iterator<char>());
  TERSE_ASSIGN_OR_RETURN(CheckpointManifest manifest,
                         ParseManifest(text, path));
  const Json json = Json::parse(text);
  uint32_t crc32c = 0;
  if (!Get(json, kChecksumKey, crc32c) || crc32c != ChecksumOf(json)) {
    return Damaged(path, "is damaged: its checksum does not fit");
  }
  return manifest;
}

}  // namespace

std::string CheckpointFolderName(uint64_t version) {
  return absl::StrFormat("%s%012d", kFolderPrefix, version);
}

absl::Status MakeFolder(const std::string& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (!error) return absl::OkStatus();
  return DiskError(folder, "cannot make this folder", error.value());
}

absl::StatusOr<CheckpointFile> DescribeFile(const std::string& folder,
                                            const std::string& name) {
  const std::string path = absl::StrCat(folder, "/", name);
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) {
    if (errno == ENOENT) return Missing(absl::StrCat(path, " is missing"));
    return DiskError(path, "cannot open", errno);
  }
  CheckpointFile found = {.name = name};
  std::vector<std::byte> chunk(size_t{1} << 20);
  while (true) {
    const ssize_t got = read(file, chunk.data(), chunk.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) {
      const int error = errno;
      close(file);
      return DiskError(path, "cannot read", error);
    }
    if (got == 0) break;
    found.bytes += got;
    found.crc32c =
        ExtendCrc32c(found.crc32c, std::span(chunk.data(), size_t(got)));
  }
  close(file);
  return found;
}

absl::Status WriteManifest(const std::string& folder,
                           const CheckpointManifest& manifest) {
  Json files = Json::array();
  for (const CheckpointFile& file : manifest.files) {
    files.push_back(
        {{"name", file.name}, {"bytes", file.bytes}, {"crc32c", file.crc32c}});
  }
  Json json = {
      {"format", kFormatName},       {"format_version", kFormatVersion},
      {"step", manifest.version},    {"servers", manifest.servers},
      {"workers", manifest.workers}, {"job", manifest.job_yaml},
      {"files", std::move(files)}};
  if (manifest.updates != manifest.version) json["updates"] = manifest.updates;
  if (manifest.test_accuracy) json["test_accuracy"] = *manifest.test_accuracy;
  json[kChecksumKey] = ChecksumOf(json);
  const std::string text = json.dump(2) + "\n";
  const std::string path = absl::StrCat(folder, "/", kManifestName);
  const std::string temporary = absl::StrCat(path, ".", getpid(), ".tmp");
  const auto fail = [&](const char* what) {
    const absl::Status status = DiskError(path, what, errno);
    unlink(temporary.c_str());
    return status;
  };
  std::FILE* file = std::fopen(temporary.c_str(), "wbe");
  if (file == nullptr) return fail("cannot write");
  bool good = std::fwrite(text.data(), 1, text.size(), file) == text.size();
  good = good && std::fflush(file) == 0 && fsync(fileno(file)) == 0;
  if (!good) {
    const absl::Status status = fail("cannot write");
    std::fclose(file);
    return status;
  }
  std::fclose(file);
  if (std::rename(temporary.c_str(), path.c_str()) != 0) {
    return fail("cannot rename a file to this name");
  }
  // The names too must be on the disk: of the manifest, and of its folder.
  for (const std::string& directory :
       {folder, fs::path(folder).parent_path().string()}) {
    const int opened = open(directory.empty() ? "." : directory.c_str(),
                            O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (opened < 0 || fsync(opened) != 0) {
      const absl::Status status = DiskError(directory, "cannot sync", errno);
      if (opened >= 0) close(opened);
      return status;
    }
    close(opened);
  }
  return absl::OkStatus();
}

absl::StatusOr<CheckpointManifest> ParseManifest(std::string_view text,
                                                 const std::string& source) {
  const Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  std::string format;
  uint32_t format_version = 0;
  CheckpointManifest manifest;
  if (!json.is_object() || !Get(json, "format", format) ||
      format != kFormatName || !Get(json, "format_version", format_version)) {
    return Damaged(source, "this is no manifest of a checkpoint");
  }
  if (format_version != kFormatVersion) {
    return Damaged(source, absl::StrCat("has format version ", format_version,
                                        "; this Terse reads ", kFormatVersion));
  }
  if (!Get(json, "step", manifest.version) ||
      !Get(json, "servers", manifest.servers) ||
      !Get(json, "workers", manifest.workers) ||
      !Get(json, "job", manifest.job_yaml) || manifest.servers == 0 ||
      manifest.servers > kServersMax || manifest.workers == 0 ||
      manifest.workers > kWorkersMax || !json.contains("files") ||
      !json["files"].is_array()) {
    return Damaged(source, "step, servers, workers, job or files are wrong");
  }
  manifest.updates = manifest.version;
  if (json.contains("updates") && !Get(json, "updates", manifest.updates)) {
    return Damaged(source, "updates is wrong");
  }
  if (json.contains("test_accuracy") && json["test_accuracy"].is_number()) {
    manifest.test_accuracy = json["test_accuracy"].get<double>();
  }
  for (const Json& entry : json["files"]) {
    CheckpointFile file;
    // Names with a slash would reach out of the folder.
    if (!entry.is_object() || !Get(entry, "name", file.name) ||
        !Get(entry, "bytes", file.bytes) ||
        !Get(entry, "crc32c", file.crc32c) || file.name.empty() ||
        file.name.find('/') != std::string::npos) {
      return Damaged(source, "an entry of files is wrong");
    }
    manifest.files.push_back(std::move(file));
  }
  return manifest;
}

absl::StatusOr<FoundCheckpoint> ReadCheckpoint(const std::string& folder) {
  FoundCheckpoint checkpoint = {.folder = folder};
  TERSE_ASSIGN_OR_RETURN(checkpoint.manifest, ReadManifest(folder));
  return checkpoint;
}

absl::StatusOr<FoundCheckpoint> OpenCheckpoint(const std::string& folder) {
  TERSE_ASSIGN_OR_RETURN(FoundCheckpoint checkpoint, ReadCheckpoint(folder));
  for (const CheckpointFile& wanted : checkpoint.manifest.files) {
    absl::StatusOr<CheckpointFile> found = DescribeFile(folder, wanted.name);
    if (absl::IsNotFound(found.status())) {
      return Damaged(folder, absl::StrCat(wanted.name, " is missing"));
    }
    if (!found.ok()) return found.status();
    if (found->bytes != wanted.bytes || found->crc32c != wanted.crc32c) {
      return Damaged(folder, absl::StrCat(wanted.name, " is damaged: ",
                                          found->bytes == wanted.bytes
                                              ? "its checksum does not fit"
                                              : "its length does not fit"));
    }
  }
  return checkpoint;
}

std::optional<FoundCheckpoint> NewestCheckpoint(
    const std::string& folder, std::vector<std::string>& passed_over) {
  for (const auto& [version, path] : VersionFolders(folder)) {
    absl::StatusOr<FoundCheckpoint> checkpoint = OpenCheckpoint(path);
    if (checkpoint.ok()) return *std::move(checkpoint);
    // One that was never finished is nothing to speak of.
    if (!absl::IsNotFound(checkpoint.status())) {
      passed_over.emplace_back(checkpoint.status().message());
    }
  }
  return std::nullopt;
}

absl::StatusOr<FoundCheckpoint> FindCheckpoint(
    const std::string& path, std::vector<std::string>& passed_over) {
  std::error_code error;
  if (!fs::is_directory(path, error)) {
    return Missing(absl::StrCat(path, ": there is no such folder"));
  }
  if (fs::exists(absl::StrCat(path, "/", kManifestName), error)) {
    return OpenCheckpoint(path);
  }
  for (const std::string& folder : {path, absl::StrCat(path, "/checkpoints")}) {
    std::optional<FoundCheckpoint> found =
        NewestCheckpoint(folder, passed_over);
    if (found) return *std::move(found);
  }
  if (!passed_over.empty()) {
    return Damaged(path, absl::StrCat("no checkpoint here is whole; the newest"
                                      " says: ",
                                      passed_over.front()));
  }
  return Missing(absl::StrCat(path, ": there is no checkpoint here"));
}

void RemoveOldCheckpoints(const std::string& folder, uint64_t version,
                          uint32_t keep_last, bool keep_best) {
  struct Kept {
    std::string path;
    std::optional<double> accuracy;
  };
  std::vector<Kept> whole;  // The newest first.
  std::error_code error;
  for (const auto& [v, path] : VersionFolders(folder)) {
    if (v > version) continue;
    const auto manifest = ReadManifest(path);
    if (manifest.ok()) {
      whole.push_back({path, manifest->test_accuracy});
    } else if (absl::IsNotFound(manifest.status()) && v < version) {
      fs::remove_all(path, error);
    }
  }
  size_t best = whole.size();
  for (size_t i = 0; keep_best && i < whole.size(); ++i) {
    if (!whole[i].accuracy) continue;
    // Of equals the oldest, so that it stays what it is.
    if (best == whole.size() || *whole[i].accuracy >= *whole[best].accuracy) {
      best = i;
    }
  }
  for (size_t i = keep_last; i < whole.size(); ++i) {
    if (i == best) continue;
    // First what makes it one: a half-deleted folder must not pass for whole.
    fs::remove(whole[i].path + "/" + kManifestName, error);
    fs::remove_all(whole[i].path, error);
  }
}

}  // namespace terse
