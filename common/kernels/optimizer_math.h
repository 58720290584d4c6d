// The plain definition of the optimizer's element-wise step. The vector kernels
// compute exactly this, bit for bit, and use it for their tails.
#ifndef TERSE_COMMON_KERNELS_OPTIMIZER_MATH_H_
#define TERSE_COMMON_KERNELS_OPTIMIZER_MATH_H_

#include <cmath>

namespace terse {

struct SgdConstants {
  float gradient_max = 0;
  float gradient_scale = 1;
  float weight_decay = 0;
  float weight_max = 0;
  float rate = 0;
  float momentum = 0;
};

struct AdamConstants {
  float gradient_max = 0;
  float gradient_scale = 1;
  float weight_decay = 0;
  float weight_max = 0;
  float rate = 0;
  float beta1 = 0;
  float beta1_rest = 1;  // 1 - beta1
  float beta2 = 0;
  float beta2_rest = 1;    // 1 - beta2
  float m_correction = 1;  // 1 / (1 - beta1^t)
  float v_correction = 1;  // 1 / (1 - beta2^t)
  float epsilon = 0;
};

// x within [-bound, bound]. Comparisons with NaN are false, so NaN stays NaN:
// a diverged run must show, where min and max would hide it.
inline float ClipElement(float x, float bound) {
  const float below = x > bound ? bound : x;
  return below < -bound ? -bound : below;
}

// The gradient that the step sees: clipped, scaled, with weight decay.
template <typename Constants>
inline float StepGradientElement(const Constants& c, float gradient,
                                 float weight) {
  return ClipElement(gradient, c.gradient_max) * c.gradient_scale +
         c.weight_decay * weight;
}

inline void SgdElement(const SgdConstants& c, float gradient, float& weight) {
  const float d = StepGradientElement(c, gradient, weight);
  weight = ClipElement(weight - c.rate * d, c.weight_max);
}

inline void MomentumElement(const SgdConstants& c, bool nesterov,
                            float gradient, float& weight, float& momentum) {
  const float g = StepGradientElement(c, gradient, weight);
  momentum = c.momentum * momentum + g;
  const float d = nesterov ? g + c.momentum * momentum : momentum;
  weight = ClipElement(weight - c.rate * d, c.weight_max);
}

inline void AdamElement(const AdamConstants& c, float gradient, float& weight,
                        float& m, float& v) {
  const float g = StepGradientElement(c, gradient, weight);
  m = c.beta1 * m + c.beta1_rest * g;
  v = c.beta2 * v + c.beta2_rest * (g * g);
  const float d =
      (m * c.m_correction) / (std::sqrt(v * c.v_correction) + c.epsilon);
  weight = ClipElement(weight - c.rate * d, c.weight_max);
}

// Partial sums of a reduction: element i goes to partial sum i modulo this,
// whatever the vector length, so that the order of additions is the same.
inline constexpr int kSumLanes = 32;

// Adds the partial sums in a fixed tree.
inline double FoldSums(double (&sums)[kSumLanes]) {
  for (int half = kSumLanes / 2; half > 0; half /= 2) {
    for (int i = 0; i < half; ++i) sums[i] += sums[i + half];
  }
  return sums[0];
}

}  // namespace terse

#endif  // TERSE_COMMON_KERNELS_OPTIMIZER_MATH_H_
