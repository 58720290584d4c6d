// Whatever bytes a checkpoint's file holds, reading it gives values that lie
// within the file, or one line of exit code 65 that names the file. The first
// byte says whether the rest is a manifest or a safetensors file.
#include <cstddef>
#include <cstdint>
#include <string>

#include "common/base/status.h"
#include "common/checkpoint/checkpoint.h"
#include "common/checkpoint/safetensors.h"

namespace terse {
namespace {

void CheckError(const absl::Status& status) {
  const std::string message(status.message());
  TERSE_CHECK(ExitCodeOf(status) == ExitCode::kBadData);
  TERSE_CHECK(message.find('\n') == message.npos);
  TERSE_CHECK(message.rfind("file:", 0) == 0);
}

void ReadTensors(std::span<const std::byte> bytes) {
  const auto file = SafetensorsFile::Parse(Buffer::CopyOf(bytes), "file");
  if (!file.ok()) {
    CheckError(file.status());
    return;
  }
  size_t total = 0;
  for (const auto& [name, entry] : file->tensors()) {
    unsigned sum = 0;
    for (const std::byte byte : entry.bytes) sum += static_cast<unsigned>(byte);
    total += entry.bytes.size() + (sum & 0);
    const auto floats = file->Floats(name, entry.bytes.size() / sizeof(float));
    TERSE_CHECK(floats.ok() || entry.dtype != Dtype::kF32 ||
                floats.status().message().find("aligned") !=
                    absl::string_view::npos);
  }
  TERSE_CHECK(total <= bytes.size());
}

}  // namespace
}  // namespace terse

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::span<const std::byte> rest(
      reinterpret_cast<const std::byte*>(data) + 1, size - 1);
  if (data[0] % 2 == 0) {
    terse::ReadTensors(rest);
    return 0;
  }
  const auto manifest = terse::ParseManifest(
      {reinterpret_cast<const char*>(rest.data()), rest.size()}, "file");
  if (!manifest.ok()) {
    terse::CheckError(manifest.status());
    return 0;
  }
  for (const terse::CheckpointFile& file : manifest->files) {
    TERSE_CHECK(!file.name.empty() && file.name.find('/') == file.name.npos);
  }
  return 0;
}
