// Random changes to training pictures.
#ifndef TERSE_WORKER_DATA_AUGMENT_H_
#define TERSE_WORKER_DATA_AUGMENT_H_

#include <cstdint>
#include <span>

#include "common/plan/model_spec.h"

namespace terse {

// Shifts a picture (channels x height x width) by up to 4 pixels up or down and
// left or right, zeros, which are mid-grey, coming in, and mirrors it half of
// the time: the crops and flips with which CIFAR-10 is trained (He et al. 2015,
// 1512.03385). The draw is of (key, sample). Requires: shape has three
// dimensions.
void ShiftAndMirror(const Shape& shape, uint64_t key, uint64_t sample,
                    std::span<float> values);

}  // namespace terse

#endif  // TERSE_WORKER_DATA_AUGMENT_H_
