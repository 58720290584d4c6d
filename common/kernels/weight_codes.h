// What weight quantizers do to every weight: steps of a uniform grid, the two
// regions of a piecewise one, and the three sides of a threshold.
#ifndef TERSE_COMMON_KERNELS_WEIGHT_CODES_H_
#define TERSE_COMMON_KERNELS_WEIGHT_CODES_H_

#include <cstddef>
#include <cstdint>

namespace terse {

// codes[i] = q + top, q = floor(weights[i] / scale + 1/2) within [-top, top];
// NaN gives 0, any weight `top` where the scale is 0. Requires: 0 <= top <=
// 127.
void UniformCodes(const float* weights, size_t count, float scale, int top,
                  uint8_t* codes);

// codes[i] = clip(weights[i] / scale + 1/2, 0, 1) * top, rounded half to even;
// NaN gives 0, any weight the middle where the scale is 0. Requires: 0 <= top
// <= 255.
void CenteredCodes(const float* weights, size_t count, float scale, int top,
                   uint8_t* codes);

// A grid with steps of one size inside a breakpoint and of another beyond.
struct PiecewiseGrid {
  float breakpoint = 0;
  float inner_step = 0;
  float outer_step = 0;
  int inner = 0;  // Steps to either side of 0.
  int outer = 0;  // Values of each outer region.
};

// Codes ascend with the weights: `outer` negative ones, 2 inner + 1, `outer`
// positive ones. Below the breakpoint the inner code is that of UniformCodes;
// from it on j = floor((|w| - breakpoint) / outer_step + 1/2) within
// [0, outer - 1] tells which. Requires: 2 (inner + outer) <= 255.
void PiecewiseCodes(const float* weights, size_t count,
                    const PiecewiseGrid& grid, uint8_t* codes);

// trits[i] = 1 where weights[i] > threshold, -1 where < -threshold, else 0.
void ThresholdTrits(const float* weights, size_t count, float threshold,
                    float* trits);

// values[i] = positive where values[i] > 0, negative where < 0, else 0.
void PutScales(float positive, float negative, size_t count, float* values);

// gradient[i] *= above where weights[i] > threshold, below where < -threshold.
void ScaleBySide(const float* weights, size_t count, float threshold,
                 float above, float below, float* gradient);

namespace reference {

void UniformCodes(const float* weights, size_t count, float scale, int top,
                  uint8_t* codes);
void CenteredCodes(const float* weights, size_t count, float scale, int top,
                   uint8_t* codes);
void PiecewiseCodes(const float* weights, size_t count,
                    const PiecewiseGrid& grid, uint8_t* codes);
void ThresholdTrits(const float* weights, size_t count, float threshold,
                    float* trits);
void PutScales(float positive, float negative, size_t count, float* values);
void ScaleBySide(const float* weights, size_t count, float threshold,
                 float above, float below, float* gradient);

}  // namespace reference
}  // namespace terse

#endif  // TERSE_COMMON_KERNELS_WEIGHT_CODES_H_
