#include "worker/data/dataset.h"

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
    case Data::MNIST:
    case Data::CIFAR10:
      break;
  }
  const std::string& place = directory.empty() ? data.directory() : directory;
  const bool mnist = data.kind() == Data::MNIST;
  if (place.empty()) {
    return WithExitCode(
        absl::NotFoundError(absl::StrCat(
            "the job does not say where its ", mnist ? "mnist" : "cifar10",
            " files lie; give --data-dir or data.directory")),
        ExitCode::kInputMissing);
  }
  return mnist ? OpenMnist(place) : OpenCifar10(place);
}

}  // namespace terse
