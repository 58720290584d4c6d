// Plain definition of the hyperbolic tangent that the kernels share. The C
// library's differs between machines, and quantized weights must not.
#ifndef TERSE_COMMON_KERNELS_TANH_MATH_H_
#define TERSE_COMMON_KERNELS_TANH_MATH_H_

#include <cmath>

namespace terse {

// From here on tanh is 1 in a float: 2 e^(-2x) < 2^-25.
inline constexpr float kTanhSaturated = 9.02f;
// Below, tanh(x) = x - x^3/3 rounds to x.
inline constexpr float kTanhLinear = 0x1p-12f;

// tanh(x) within 6 units in the last place, never beyond 1; NaN stays. The
// continued fraction of tanh(x/8), cut after 5 terms, as numerator and
// denominator; three doublings tanh(2y) = 2 n d / (d^2 + n^2); one division.
inline float TanhElement(float x) {
  float a = std::fabs(x);
  a = a > kTanhSaturated ? kTanhSaturated : a;
  const float y = a * 0.125f;
  const float s = y * y;
  float n = y * (1 + s * (1.0f / 9 + s * (1.0f / 945)));
  float d = 1 + s * (4.0f / 9 + s * (1.0f / 63));
  for (int i = 0; i < 3; ++i) {
    const float product = n * d;
    d = d * d + n * n;
    n = product + product;
  }
  float t = n / d;
  t = t > 1 ? 1 : t;
  t = a < kTanhLinear ? a : t;
  return std::copysign(t, x);
}

}  // namespace terse

#endif  // TERSE_COMMON_KERNELS_TANH_MATH_H_
