#include "common/checkpoint/safetensors.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <optional>
#include <set>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/base/crc32c.h"
#include "common/base/status.h"
#include "nlohmann/json.hpp"

namespace terse {
namespace {

using Json = nlohmann::json;

constexpr size_t kLengthBytes = 8;
// Tensors start at a multiple of this, so that they can be mapped as they are.
constexpr size_t kAlignment = 64;
// The reference reader refuses longer headers.
constexpr uint64_t kHeaderBytesMax = 100'000'000;
constexpr char kMetadataKey[] = "__metadata__";
constexpr char kChecksumPrefix[] = "crc32c.";

struct DtypeName {
  Dtype dtype;
  const char* name;
  size_t bytes;
};
constexpr DtypeName kDtypes[] = {{Dtype::kU8, "U8", 1},
                                 {Dtype::kI64, "I64", 8},
                                 {Dtype::kF32, "F32", 4},
                                 {Dtype::kF64, "F64", 8}};

const DtypeName& NameOf(Dtype dtype) {
  for (const DtypeName& entry : kDtypes) {
    if (entry.dtype == dtype) return entry;
  }
  TERSE_CHECK(false);
}

// Bytes of a tensor; nothing if they overflow 64 bits.
std::optional<uint64_t> BytesOf(Dtype dtype,
                                const std::vector<uint64_t>& shape) {
  uint64_t bytes = DtypeBytes(dtype);
  for (uint64_t dimension : shape) {
    if (__builtin_mul_overflow(bytes, dimension, &bytes)) return std::nullopt;
  }
  return bytes;
}

absl::Status DiskError(const std::string& what, const std::string& path) {
  const int error = errno;
  const absl::Status status = absl::UnavailableError(
      absl::StrCat(path, ": ", what, ": ", std::strerror(error)));
  return error == ENOENT && what == "cannot open"
             ? WithExitCode(absl::NotFoundError(status.message()),
                            ExitCode::kInputMissing)
             : WithExitCode(status, ExitCode::kDisk);
}

absl::Status Damaged(const std::string& source, const std::string& what) {
  return WithExitCode(absl::DataLossError(absl::StrCat(source, ": ", what)),
                      ExitCode::kBadData);
}

std::string Checksum(std::span<const std::byte> bytes) {
  return absl::StrFormat("%08x", Crc32c(bytes));
}

absl::StatusOr<std::string> MakeHeader(
    std::span<const TensorView> tensors,
    const std::map<std::string, std::string>& metadata) {
  Json header = Json::object();
  Json strings = Json::object();
  for (const auto& [key, value] : metadata) strings[key] = value;
  uint64_t offset = 0;
  for (const TensorView& tensor : tensors) {
    const std::optional<uint64_t> bytes = BytesOf(tensor.dtype, tensor.shape);
    if (!bytes || *bytes != tensor.bytes.size()) {
      return absl::InvalidArgumentError(
          absl::StrCat("tensor ", tensor.name, " has ", tensor.bytes.size(),
                       " bytes, which do not fit its shape"));
    }
    if (tensor.name == kMetadataKey || header.contains(tensor.name)) {
      return absl::InvalidArgumentError(
          absl::StrCat("tensor name ", tensor.name, " is taken"));
    }
    header[tensor.name] = {{"dtype", NameOf(tensor.dtype).name},
                           {"shape", tensor.shape},
                           {"data_offsets", {offset, offset + *bytes}}};
    strings[kChecksumPrefix + tensor.name] = Checksum(tensor.bytes);
    offset += *bytes;
  }
  header[kMetadataKey] = std::move(strings);
  std::string text = header.dump();
  const size_t unaligned = (kLengthBytes + text.size()) % kAlignment;
  if (unaligned != 0) text.append(kAlignment - unaligned, ' ');
  return text;
}

absl::Status WriteAll(int file, std::span<const std::byte> bytes,
                      const std::string& path) {
  while (!bytes.empty()) {
    const ssize_t written = write(file, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return DiskError("cannot write", path);
    bytes = bytes.subspan(written);
  }
  return absl::OkStatus();
}

absl::Status WriteContent(int file, const std::string& header,
                          std::span<const TensorView> tensors,
                          const std::string& path) {
  std::byte length[kLengthBytes];
  for (size_t i = 0; i < kLengthBytes; ++i) {
    length[i] = static_cast<std::byte>(uint64_t{header.size()} >> (8 * i));
  }
  TERSE_RETURN_IF_ERROR(WriteAll(file, length, path));
  TERSE_RETURN_IF_ERROR(WriteAll(
      file, std::as_bytes(std::span(header.data(), header.size())), path));
  for (const TensorView& tensor : tensors) {
    TERSE_RETURN_IF_ERROR(WriteAll(file, tensor.bytes, path));
  }
  if (fsync(file) != 0) return DiskError("cannot sync", path);
  return absl::OkStatus();
}

absl::Status SyncDirectoryOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  const std::string directory =
      slash == std::string::npos ? "." : path.substr(0, slash + 1);
  const int file = open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (file < 0) return DiskError("cannot open", directory);
  const absl::Status status =
      fsync(file) == 0 ? absl::OkStatus() : DiskError("cannot sync", directory);
  close(file);
  return status;
}

}  // namespace

size_t DtypeBytes(Dtype dtype) { return NameOf(dtype).bytes; }

TensorView FloatTensor(std::string name, std::vector<uint64_t> shape,
                       std::span<const float> values) {
  return {.name = std::move(name),
          .dtype = Dtype::kF32,
          .shape = std::move(shape),
          .bytes = std::as_bytes(values)};
}

absl::Status WriteSafetensors(
    const std::string& path, std::span<const TensorView> unordered,
    const std::map<std::string, std::string>& metadata) {
  // Wide elements first: every tensor is then aligned to its elements.
  std::vector<TensorView> tensors(unordered.begin(), unordered.end());
  std::stable_sort(tensors.begin(), tensors.end(),
                   [](const TensorView& a, const TensorView& b) {
                     return DtypeBytes(a.dtype) > DtypeBytes(b.dtype);
                   });
  TERSE_ASSIGN_OR_RETURN(const std::string header,
                         MakeHeader(tensors, metadata));
  const std::string temporary = absl::StrCat(path, ".", getpid(), ".tmp");
  const int file =
      open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (file < 0) return DiskError("cannot create", temporary);
  absl::Status status = WriteContent(file, header, tensors, temporary);
  if (close(file) != 0) status.Update(DiskError("cannot close", temporary));
  if (status.ok() && std::rename(temporary.c_str(), path.c_str()) != 0) {
    status = DiskError("cannot rename a file to this name", path);
  }
  if (!status.ok()) {
    unlink(temporary.c_str());
    return status;
  }
  return SyncDirectoryOf(path);
}

absl::StatusOr<SafetensorsFile> SafetensorsFile::Read(const std::string& path) {
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return DiskError("cannot open", path);
  struct stat info;
  if (fstat(file, &info) != 0 || !S_ISREG(info.st_mode)) {
    close(file);
    return Damaged(path, "not a file");
  }
  Buffer content = Buffer::Allocate(info.st_size);
  std::span<std::byte> rest = content.mutable_bytes();
  while (!rest.empty()) {
    const ssize_t got = read(file, rest.data(), rest.size());
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) {
      const absl::Status status = got < 0 ? DiskError("cannot read", path)
                                          : Damaged(path, "it shrinks");
      close(file);
      return status;
    }
    rest = rest.subspan(got);
  }
  close(file);
  return Parse(std::move(content), path);
}

namespace {

struct Extent {
  uint64_t begin;
  uint64_t end;
};

// One tensor of the header, as far as it can be judged alone.
absl::StatusOr<std::pair<Extent, SafetensorsFile::Entry>> ParseEntry(
    const std::string& source, const std::string& name, const Json& json) {
  const auto bad = [&](const std::string& what) {
    return Damaged(source, absl::StrCat("tensor ", name, ": ", what));
  };
  if (!json.is_object() || json.size() != 3 || !json.contains("dtype") ||
      !json.contains("shape") || !json.contains("data_offsets")) {
    return bad("expects dtype, shape and data_offsets");
  }
  const Json& offsets = json["data_offsets"];
  const Json& shape = json["shape"];
  const auto is_count = [](const Json& n) { return n.is_number_unsigned(); };
  if (!shape.is_array() || !std::all_of(shape.begin(), shape.end(), is_count) ||
      !offsets.is_array() || offsets.size() != 2 ||
      !std::all_of(offsets.begin(), offsets.end(), is_count)) {
    return bad("shape and data_offsets are whole numbers");
  }
  SafetensorsFile::Entry entry;
  const DtypeName* const dtype =
      std::find_if(std::begin(kDtypes), std::end(kDtypes),
                   [&](const DtypeName& d) { return json["dtype"] == d.name; });
  if (dtype == std::end(kDtypes)) return bad("a dtype that is not known here");
  entry.dtype = dtype->dtype;
  entry.shape = shape.get<std::vector<uint64_t>>();
  const Extent extent = {offsets[0].get<uint64_t>(),
                         offsets[1].get<uint64_t>()};
  const std::optional<uint64_t> bytes = BytesOf(entry.dtype, entry.shape);
  if (!bytes || extent.end < extent.begin ||
      extent.end - extent.begin != *bytes) {
    return bad("data_offsets do not fit the shape");
  }
  return std::pair(extent, std::move(entry));
}

// JSON with a duplicate key is an attack or a bug; the library keeps the last.
absl::StatusOr<Json> ParseJsonWithoutDuplicates(const std::string& source,
                                                std::string_view text) {
  std::vector<std::set<std::string>> keys;
  bool duplicate = false;
  int depth_max = 0;
  const auto callback = [&](int depth, Json::parse_event_t event,
                            Json& parsed) {
    depth_max = std::max(depth_max, depth);
    if (event == Json::parse_event_t::object_start) keys.emplace_back();
    if (event == Json::parse_event_t::object_end) keys.pop_back();
    if (event == Json::parse_event_t::key) {
      duplicate |= !keys.back().insert(parsed.get<std::string>()).second;
    }
    return true;
  };
  Json json = Json::parse(text, callback, /*allow_exceptions=*/false);
  if (json.is_discarded() || !json.is_object() || depth_max > 4) {
    return Damaged(source, "the header is not a JSON object of tensors");
  }
  if (duplicate) return Damaged(source, "a name stands twice in the header");
  return json;
}

}  // namespace

absl::StatusOr<SafetensorsFile> SafetensorsFile::Parse(
    Buffer content, const std::string& source) {
  const std::span<const std::byte> bytes = content.bytes();
  if (bytes.size() < kLengthBytes) return Damaged(source, "it is too short");
  uint64_t header_bytes = 0;
  for (size_t i = 0; i < kLengthBytes; ++i) {
    header_bytes |= std::to_integer<uint64_t>(bytes[i]) << (8 * i);
  }
  if (header_bytes > kHeaderBytesMax ||
      header_bytes > bytes.size() - kLengthBytes) {
    return Damaged(source, "the header is longer than the file");
  }
  TERSE_ASSIGN_OR_RETURN(
      const Json header,
      ParseJsonWithoutDuplicates(
          source, content.text().substr(kLengthBytes, header_bytes)));
  const std::span<const std::byte> data =
      bytes.subspan(kLengthBytes + header_bytes);

  SafetensorsFile file;
  std::vector<Extent> extents;
  for (const auto& [name, json] : header.items()) {
    if (name == kMetadataKey) {
      for (const auto& [key, value] : json.items()) {
        if (!value.is_string()) return Damaged(source, "metadata are strings");
        file.metadata_[key] = value.get<std::string>();
      }
      continue;
    }
    TERSE_ASSIGN_OR_RETURN(auto parsed, ParseEntry(source, name, json));
    auto& [extent, entry] = parsed;
    if (extent.end > data.size()) {
      return Damaged(source, absl::StrCat("tensor ", name, " is cut off"));
    }
    entry.bytes = data.subspan(extent.begin, extent.end - extent.begin);
    if (extent.begin != extent.end) extents.push_back(extent);
    file.tensors_[name] = std::move(entry);
  }
  std::sort(extents.begin(), extents.end(),
            [](const Extent& a, const Extent& b) { return a.begin < b.begin; });
  uint64_t covered = 0;
  for (const Extent& extent : extents) {
    if (extent.begin != covered) {
      return Damaged(source, "tensors overlap or leave a hole");
    }
    covered = extent.end;
  }
  if (covered != data.size()) {
    return Damaged(source, "bytes follow the last tensor");
  }
  for (const auto& [name, entry] : file.tensors_) {
    const auto checksum = file.metadata_.find(kChecksumPrefix + name);
    if (checksum != file.metadata_.end() &&
        checksum->second != Checksum(entry.bytes)) {
      return Damaged(source, absl::StrCat("tensor ", name,
                                          " is damaged: its "
                                          "checksum does not fit"));
    }
  }
  file.content_ = std::move(content);
  file.source_ = source;
  return file;
}

absl::StatusOr<std::span<const float>> SafetensorsFile::Floats(
    const std::string& name, size_t count) const {
  const auto found = tensors_.find(name);
  if (found == tensors_.end()) {
    return Damaged(source_, absl::StrCat("no tensor ", name));
  }
  const Entry& entry = found->second;
  if (entry.dtype != Dtype::kF32 ||
      entry.bytes.size() != count * sizeof(float) ||
      reinterpret_cast<uintptr_t>(entry.bytes.data()) % alignof(float) != 0) {
    return Damaged(source_, absl::StrCat("tensor ", name, " is not ", count,
                                         " aligned floats"));
  }
  return std::span(reinterpret_cast<const float*>(entry.bytes.data()), count);
}

}  // namespace terse
