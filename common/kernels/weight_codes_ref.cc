#include <cmath>

#include "common/kernels/weight_codes.h"

namespace terse::reference {
namespace {

// floor(x / step + 1/2) within [low, high]; NaN gives low, any x 0 where the
// step is 0.
int Step(float x, float step, int low, int high) {
  if (!(step > 0)) return 0;
  const float q = std::floor(x / step + 0.5f);
  if (!(q > static_cast<float>(low))) return low;
  return q < static_cast<float>(high) ? static_cast<int>(q) : high;
}

}  // namespace

void UniformCodes(const float* weights, size_t count, float scale, int top,
                  uint8_t* codes) {
  for (size_t i = 0; i < count; ++i) {
    codes[i] = static_cast<uint8_t>(Step(weights[i], scale, -top, top) + top);
  }
}

void CenteredCodes(const float* weights, size_t count, float scale, int top,
                   uint8_t* codes) {
  for (size_t i = 0; i < count; ++i) {
    float unit = (scale > 0 ? weights[i] / scale : 0.0f) + 0.5f;
    unit = unit > 0 ? unit : 0;  // NaN too.
    unit = unit < 1 ? unit : 1;
    // Adding 2^23 leaves no place for a fraction: the sum rounds half to even.
    const float code = (unit * static_cast<float>(top) + 0x1p23f) - 0x1p23f;
    codes[i] = static_cast<uint8_t>(code);
  }
}

void PiecewiseCodes(const float* weights, size_t count,
                    const PiecewiseGrid& grid, uint8_t* codes) {
  for (size_t i = 0; i < count; ++i) {
    const float magnitude = std::fabs(weights[i]);
    if (magnitude < grid.breakpoint) {
      codes[i] = static_cast<uint8_t>(
          grid.outer + grid.inner +
          Step(weights[i], grid.inner_step, -grid.inner, grid.inner));
      continue;
    }
    const int j =
        Step(magnitude - grid.breakpoint, grid.outer_step, 0, grid.outer - 1);
    codes[i] = static_cast<uint8_t>(weights[i] < 0
                                        ? grid.outer - 1 - j
                                        : grid.outer + 2 * grid.inner + 1 + j);
  }
}

void ThresholdTrits(const float* weights, size_t count, float threshold,
                    float* trits) {
  for (size_t i = 0; i < count; ++i) {
    trits[i] = weights[i] > threshold    ? 1.0f
               : weights[i] < -threshold ? -1.0f
                                         : 0.0f;
  }
}

void PutScales(float positive, float negative, size_t count, float* values) {
  for (size_t i = 0; i < count; ++i) {
    values[i] = values[i] > 0 ? positive : values[i] < 0 ? negative : 0.0f;
  }
}

void ScaleBySide(const float* weights, size_t count, float threshold,
                 float above, float below, float* gradient) {
  for (size_t i = 0; i < count; ++i) {
    gradient[i] *= weights[i] > threshold    ? above
                   : weights[i] < -threshold ? below
                                             : 1.0f;
  }
}

}  // namespace terse::reference
