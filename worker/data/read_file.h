#ifndef TERSE_WORKER_DATA_READ_FILE_H_
#define TERSE_WORKER_DATA_READ_FILE_H_

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace terse {

struct NamedBytes {
  std::string path;
  std::vector<uint8_t> bytes;
};

// Reads the first of `names` that exists in one of `directories` (directories
// in order, then names in order), unpacking it if it is gzip. Errors: NotFound
// (exit 66: no such file, naming where it was looked for), PermissionDenied,
// DataLoss (truncated or corrupt gzip, larger than `bytes_max`).
absl::StatusOr<NamedBytes> ReadFirstOf(std::span<const std::string> directories,
                                       std::span<const std::string> names,
                                       size_t bytes_max);

}  // namespace terse

#endif  // TERSE_WORKER_DATA_READ_FILE_H_
