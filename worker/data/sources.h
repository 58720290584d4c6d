// The kinds of data behind OpenDataset.
#ifndef TERSE_WORKER_DATA_SOURCES_H_
#define TERSE_WORKER_DATA_SOURCES_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "proto/job.pb.h"
#include "worker/data/dataset.h"

namespace terse {

// Digit-like pictures, 1x28x28, drawn from strokes when first read.
std::unique_ptr<Dataset> MakeDigits(const Data& data, uint64_t seed);

// Gaussian pixels, 1x28x28 unless the job says, with the labels of a random
// linear teacher of ten classes.
std::unique_ptr<Dataset> MakeNoise(const Data& data, uint64_t seed);

// Errors of the next three: see OpenDataset.
absl::StatusOr<std::unique_ptr<Dataset>> OpenMnist(
    const std::string& directory);
absl::StatusOr<std::unique_ptr<Dataset>> OpenCifar10(
    const std::string& directory);
// Of `data.file`, in `directory` unless it is an absolute path.
absl::StatusOr<std::unique_ptr<Dataset>> OpenText(const Data& data,
                                                  const std::string& directory);

// Text of `data.characters` made of invented words. Errors: DataLoss (too few
// characters for a sample).
absl::StatusOr<std::unique_ptr<Dataset>> MakeText(const Data& data,
                                                  uint64_t seed);

}  // namespace terse

#endif  // TERSE_WORKER_DATA_SOURCES_H_
