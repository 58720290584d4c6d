// The binary version of CIFAR-10 (Krizhevsky 2009): records of a label byte and
// 3x32x32 pixels, channels first.
#include <array>
#include <filesystem>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "worker/data/byte_dataset.h"
#include "worker/data/read_file.h"
#include "worker/data/sources.h"

namespace terse {
namespace {

constexpr size_t kImageBytes = 3 * 32 * 32;
constexpr size_t kRecordBytes = 1 + kImageBytes;
constexpr uint8_t kClasses = 10;
constexpr size_t kFileBytesMax = size_t{1} << 30;

absl::Status AppendFile(const std::string& directory, const std::string& name,
                        ByteSamples& samples) {
  const std::string unpacked =
      (std::filesystem::path(directory) / "cifar-10-batches-bin").string();
  const std::array directories = {directory, unpacked};
  const std::array names = {name};
  TERSE_ASSIGN_OR_RETURN(const NamedBytes file,
                         ReadFirstOf(directories, names, kFileBytesMax));
  if (file.bytes.empty() || file.bytes.size() % kRecordBytes != 0) {
    return absl::DataLossError(
        absl::StrCat(file.path, ": has ", file.bytes.size(),
                     " bytes, not a multiple of the ", kRecordBytes,
                     " of a record; get the file again from its source"));
  }
  for (size_t at = 0; at < file.bytes.size(); at += kRecordBytes) {
    const auto record = file.bytes.begin() + static_cast<ptrdiff_t>(at);
    if (*record >= kClasses) {
      return absl::DataLossError(absl::StrCat(file.path, ": the label at byte ",
                                              at, " is ", *record,
                                              "; labels are 0 to 9"));
    }
    samples.labels.push_back(*record);
    samples.pixels.insert(samples.pixels.end(), record + 1,
                          record + kRecordBytes);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<Dataset>> OpenCifar10(
    const std::string& directory) {
  ByteSamples train;
  for (int i = 1; i <= 5; ++i) {
    TERSE_RETURN_IF_ERROR(
        AppendFile(directory, absl::StrCat("data_batch_", i, ".bin"), train));
  }
  ByteSamples test;
  TERSE_RETURN_IF_ERROR(AppendFile(directory, "test_batch.bin", test));
  return std::make_unique<ByteDataset>(kImageBytes, std::move(train),
                                       std::move(test));
}

}  // namespace terse
