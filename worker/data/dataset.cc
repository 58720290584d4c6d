#include "worker/data/dataset.h"

#include <filesystem>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "worker/data/sources.h"

namespace terse {

absl::StatusOr<std::unique_ptr<Dataset>> OpenDataset(
    const Data& data, const std::string& directory, uint64_t seed) {
  switch (data.kind()) {
    case Data::DIGITS:
      return MakeDigits(data, seed);
    case Data::NOISE:
      return MakeNoise(data, seed);
    case Data::TEXT:
      if (data.file().empty()) return MakeText(data, seed);
      break;
    case Data::MNIST:
    case Data::CIFAR10:
      break;
  }
  const std::string& place = directory.empty() ? data.directory() : directory;
  if (place.empty() && !std::filesystem::path(data.file()).is_absolute()) {
    const char* what = data.kind() == Data::MNIST     ? "mnist"
                       : data.kind() == Data::CIFAR10 ? "cifar10"
                                                      : "text";
    return WithExitCode(absl::NotFoundError(absl::StrCat(
                            "the job does not say where its ", what,
                            " files lie; give --data-dir or data.directory")),
                        ExitCode::kInputMissing);
  }
  if (data.kind() == Data::TEXT) return OpenText(data, place);
  return data.kind() == Data::MNIST ? OpenMnist(place) : OpenCifar10(place);
}

}  // namespace terse
