#ifndef TERSE_TESTS_UNIT_WORKER_DATA_READ_LABEL_H_
#define TERSE_TESTS_UNIT_WORKER_DATA_READ_LABEL_H_

#include <cstdint>
#include <span>

#include "worker/data/dataset.h"

namespace terse {

// Reads a sample that has one label, and returns that.
inline uint32_t ReadLabel(const Dataset& data, Split split, uint64_t index,
                          std::span<float> values) {
  uint32_t label = 0;
  data.Read(split, index, values, {&label, 1});
  return label;
}

}  // namespace terse

#endif  // TERSE_TESTS_UNIT_WORKER_DATA_READ_LABEL_H_
