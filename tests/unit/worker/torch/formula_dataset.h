// Samples by a formula short enough to be written down twice: here and in
// tests/golden/losses/make_losses.py.
#ifndef TERSE_TESTS_UNIT_WORKER_TORCH_FORMULA_DATASET_H_
#define TERSE_TESTS_UNIT_WORKER_TORCH_FORMULA_DATASET_H_

#include <cstdint>
#include <span>

#include "common/base/random.h"
#include "worker/data/dataset.h"

namespace terse {

// Values uniform in [-1, 1), labels uniform in [0, classes).
class FormulaDataset final : public Dataset {
 public:
  FormulaDataset(uint64_t train, uint64_t test, uint32_t classes)
      : train_(train), test_(test), classes_(classes) {}

  uint64_t size(Split split) const override {
    return split == Split::kTrain ? train_ : test_;
  }

  void Read(Split split, uint64_t index, std::span<float> values,
            std::span<uint32_t> labels) const override {
    const uint64_t key = MixKey({77, static_cast<uint64_t>(split), index});
    for (size_t i = 0; i < values.size(); ++i) {
      values[i] = 2 * RandomUnit(key, i) - 1;
    }
    for (size_t i = 0; i < labels.size(); ++i) {
      labels[i] = RandomBits(key, values.size() + i) % classes_;
    }
  }

 private:
  uint64_t train_;
  uint64_t test_;
  uint32_t classes_;
};

}  // namespace terse

#endif  // TERSE_TESTS_UNIT_WORKER_TORCH_FORMULA_DATASET_H_
