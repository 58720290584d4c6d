// The MNIST files (LeCun, Cortes, Burges): big-endian header (magic, count,
// and for pictures rows and columns), then bytes.
#include <algorithm>
#include <array>
#include <filesystem>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "worker/data/byte_dataset.h"
#include "worker/data/read_file.h"
#include "worker/data/sources.h"

namespace terse {
namespace {

constexpr uint32_t kImagesMagic = 0x00000803;  // Bytes, three dimensions.
constexpr uint32_t kLabelsMagic = 0x00000801;  // Bytes, one dimension.
constexpr uint32_t kSide = 28;
constexpr size_t kImageBytes = kSide * kSide;
constexpr uint8_t kClasses = 10;
constexpr size_t kFileBytesMax = size_t{1} << 30;

uint32_t BigEndian32(const std::vector<uint8_t>& bytes, size_t at) {
  return uint32_t{bytes[at]} << 24 | uint32_t{bytes[at + 1]} << 16 |
         uint32_t{bytes[at + 2]} << 8 | uint32_t{bytes[at + 3]};
}

absl::StatusOr<NamedBytes> ReadIdx(const std::string& directory,
                                   const std::string& stem,
                                   const std::string& type) {
  const std::string raw =
      (std::filesystem::path(directory) / "MNIST" / "raw").string();
  const std::array directories = {directory, raw};
  const std::array names = {stem + "-" + type, stem + "-" + type + ".gz",
                            stem + "." + type, stem + "." + type + ".gz"};
  return ReadFirstOf(directories, names, kFileBytesMax);
}

// Checks the header and takes it off. Returns the count.
absl::StatusOr<uint64_t> TakeHeader(NamedBytes& file, uint32_t magic) {
  const size_t header_bytes = magic == kImagesMagic ? 16 : 8;
  if (file.bytes.size() < header_bytes) {
    return absl::DataLossError(absl::StrCat(file.path, ": ", file.bytes.size(),
                                            " bytes are too few for a header"));
  }
  if (const uint32_t found = BigEndian32(file.bytes, 0); found != magic) {
    return absl::DataLossError(absl::StrCat(
        file.path, ": starts with 0x", absl::Hex(found, absl::kZeroPad8),
        " where an idx file of ", magic == kImagesMagic ? "pictures" : "labels",
        " has 0x", absl::Hex(magic, absl::kZeroPad8)));
  }
  const uint64_t count = BigEndian32(file.bytes, 4);
  uint64_t item_bytes = 1;
  if (magic == kImagesMagic) {
    const uint32_t rows = BigEndian32(file.bytes, 8);
    const uint32_t columns = BigEndian32(file.bytes, 12);
    if (rows != kSide || columns != kSide) {
      return absl::DataLossError(absl::StrCat(file.path, ": has pictures of ",
                                              rows, "x", columns,
                                              " pixels; mnist has 28x28"));
    }
    item_bytes = kImageBytes;
  }
  if (count == 0 || file.bytes.size() != header_bytes + count * item_bytes) {
    return absl::DataLossError(absl::StrCat(
        file.path, ": has ", file.bytes.size(), " bytes where its header, ",
        count, " items, asks for ", header_bytes + count * item_bytes));
  }
  file.bytes.erase(file.bytes.begin(), file.bytes.begin() + header_bytes);
  return count;
}

absl::StatusOr<ByteSamples> ReadSplit(const std::string& directory,
                                      const std::string& stem) {
  TERSE_ASSIGN_OR_RETURN(NamedBytes images,
                         ReadIdx(directory, stem + "-images", "idx3-ubyte"));
  TERSE_ASSIGN_OR_RETURN(NamedBytes labels,
                         ReadIdx(directory, stem + "-labels", "idx1-ubyte"));
  TERSE_ASSIGN_OR_RETURN(const uint64_t count,
                         TakeHeader(images, kImagesMagic));
  TERSE_ASSIGN_OR_RETURN(const uint64_t label_count,
                         TakeHeader(labels, kLabelsMagic));
  if (count != label_count) {
    return absl::DataLossError(absl::StrCat(labels.path, ": has ", label_count,
                                            " labels for the ", count,
                                            " pictures of ", images.path));
  }
  const auto bad =
      std::find_if(labels.bytes.begin(), labels.bytes.end(),
                   [](uint8_t label) { return label >= kClasses; });
  if (bad != labels.bytes.end()) {
    return absl::DataLossError(absl::StrCat(labels.path, ": label ",
                                            bad - labels.bytes.begin(), " is ",
                                            *bad, "; labels are 0 to 9"));
  }
  return ByteSamples{std::move(images.bytes), std::move(labels.bytes)};
}

}  // namespace

absl::StatusOr<std::unique_ptr<Dataset>> OpenMnist(
    const std::string& directory) {
  TERSE_ASSIGN_OR_RETURN(ByteSamples train, ReadSplit(directory, "train"));
  TERSE_ASSIGN_OR_RETURN(ByteSamples test, ReadSplit(directory, "t10k"));
  return std::make_unique<ByteDataset>(kImageBytes, std::move(train),
                                       std::move(test));
}

}  // namespace terse
