// Files in the safetensors format: 8 bytes of little-endian header length, a
// JSON header, then the tensors' bytes without holes. Other tools read them as
// they are. Reading trusts nothing: bounds, overlaps, holes, duplicate names
// and checksums are checked before a value is used.
#ifndef TERSE_COMMON_CHECKPOINT_SAFETENSORS_H_
#define TERSE_COMMON_CHECKPOINT_SAFETENSORS_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/buffer.h"

namespace terse {

// Element types, as the format names them.
enum class Dtype { kU8, kI64, kF32, kF64 };

size_t DtypeBytes(Dtype dtype);

// A tensor to write; `bytes` must live until the file is written.
struct TensorView {
  std::string name;
  Dtype dtype = Dtype::kF32;
  std::vector<uint64_t> shape;  // Empty: one element.
  std::span<const std::byte> bytes;
};

TensorView FloatTensor(std::string name, std::vector<uint64_t> shape,
                       std::span<const float> values);

// Writes `path` so that whoever reads it sees the whole file or the one before:
// to a temporary name, synced, renamed, the directory synced. Besides
// `metadata` the header holds the CRC32C of each tensor ("crc32c.NAME").
// Errors: InvalidArgument (a name twice, bytes that do not fit the shape);
// Unavailable (exit code 74: disk), naming the path. On an error nothing of the
// old file is lost and no temporary file is left.
absl::Status WriteSafetensors(
    const std::string& path, std::span<const TensorView> tensors,
    const std::map<std::string, std::string>& metadata);

class SafetensorsFile {
 public:
  struct Entry {
    Dtype dtype;
    std::vector<uint64_t> shape;
    std::span<const std::byte> bytes;  // Valid as long as the file.
  };

  // Reads and checks the whole file.
  // Errors: NotFound (exit code 66), Unavailable (74), DataLoss (65: not the
  // format, or damaged; says what and where).
  static absl::StatusOr<SafetensorsFile> Read(const std::string& path);

  // The same on bytes; `source` names them in errors.
  static absl::StatusOr<SafetensorsFile> Parse(Buffer content,
                                               const std::string& source);

  const std::map<std::string, Entry>& tensors() const { return tensors_; }
  const std::map<std::string, std::string>& metadata() const {
    return metadata_;
  }

  // The values of tensor `name`.
  // Errors: DataLoss (no such tensor, another type or number of elements).
  absl::StatusOr<std::span<const float>> Floats(const std::string& name,
                                                size_t count) const;

 private:
  Buffer content_;
  std::string source_;
  std::map<std::string, Entry> tensors_;
  std::map<std::string, std::string> metadata_;
};

}  // namespace terse

#endif  // TERSE_COMMON_CHECKPOINT_SAFETENSORS_H_
