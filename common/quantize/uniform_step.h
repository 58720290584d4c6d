// The step of a uniform code.
#ifndef TERSE_COMMON_QUANTIZE_UNIFORM_STEP_H_
#define TERSE_COMMON_QUANTIZE_UNIFORM_STEP_H_

#include <cmath>

namespace terse {

// q = floor(weight / scale + 1/2) within [-top, top]; NaN gives -top, any
// weight 0 where the scale is 0.
inline int UniformStep(float weight, float scale, int top) {
  if (!(scale > 0)) return 0;
  const float q = std::floor(weight / scale + 0.5f);
  if (!(q > static_cast<float>(-top))) return -top;
  return q < static_cast<float>(top) ? static_cast<int>(q) : top;
}

}  // namespace terse

#endif  // TERSE_COMMON_QUANTIZE_UNIFORM_STEP_H_
