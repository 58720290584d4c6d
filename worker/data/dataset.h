// Training and test samples by index; no torch.
#ifndef TERSE_WORKER_DATA_DATASET_H_
#define TERSE_WORKER_DATA_DATASET_H_

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "absl/status/statusor.h"
#include "proto/job.pb.h"

namespace terse {

enum class Split { kTrain, kTest };

class Dataset {
 public:
  virtual ~Dataset() = default;
  virtual uint64_t size(Split split) const = 0;

  // Writes sample `index` (pictures: channels first, pixels scaled to [-1, 1];
  // text: the numbers of its characters) and its labels: one of a picture, of
  // text at each position the character that follows. Thread-safe.
  // Requires: index < size(split); as many values and labels as a sample has.
  virtual void Read(Split split, uint64_t index, std::span<float> values,
                    std::span<uint32_t> labels) const = 0;
};

// Opens or generates the job's data. `directory` takes precedence over the one
// in `data`; generated data are a function of `seed`. Errors: NotFound (exit
// 66: a file, by name, and what to do), DataLoss (exit 65: a file that is not
// what its name says).
absl::StatusOr<std::unique_ptr<Dataset>> OpenDataset(
    const Data& data, const std::string& directory, uint64_t seed);

// Index into the training set of sample `position` of `epoch`: a permutation of
// [0, size) that is a function of (seed, epoch).
uint64_t ShuffledIndex(uint64_t seed, uint64_t epoch, uint64_t size,
                       uint64_t position);

}  // namespace terse

#endif  // TERSE_WORKER_DATA_DATASET_H_
