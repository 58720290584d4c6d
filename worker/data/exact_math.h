// Functions of one number from additions, multiplications and divisions alone:
// generated data must be the same bits on every machine, and the results of
// libm's functions depend on its version and on the instruction set.
#ifndef TERSE_WORKER_DATA_EXACT_MATH_H_
#define TERSE_WORKER_DATA_EXACT_MATH_H_

#include <bit>
#include <cstdint>

namespace terse {

struct SinCos {
  float sin = 0;
  float cos = 0;
};

// Sine and cosine of `turns` full turns, to 1e-6. Requires: |turns| < 1e5.
inline SinCos SinCosTurns(float turns) {
  // Half turns to the nearest integer leave an angle in [-1/4, 1/4] turns.
  const int half_turns =
      static_cast<int>(turns * 2 + (turns < 0 ? -0.5f : 0.5f));
  const float x = (turns - static_cast<float>(half_turns) * 0.5f) * 6.28318531f;
  const float xx = x * x;
  const float sin =
      x * (1 + xx * (-1.f / 6 +
                     xx * (1.f / 120 + xx * (-1.f / 5040 + xx / 362880))));
  const float cos =
      1 +
      xx * (-0.5f + xx * (1.f / 24 + xx * (-1.f / 720 +
                                           xx * (1.f / 40320 - xx / 3628800))));
  const float sign = (half_turns & 1) ? -1.f : 1.f;
  return {sign * sin, sign * cos};
}

// Natural logarithm, to 1e-7 of its value or of 1. Requires: x normal and
// positive.
inline float NaturalLog(float x) {
  // x = m * 2^e with m in [sqrt(1/2), sqrt(2)); log m = 2 atanh z.
  const uint32_t shifted = std::bit_cast<uint32_t>(x) - 0x3f3504f3u;
  const int exponent = static_cast<int32_t>(shifted) >> 23;
  const float m = std::bit_cast<float>((shifted & 0x007fffffu) + 0x3f3504f3u);
  const float z = (m - 1) / (m + 1);
  const float zz = z * z;
  const float series =
      1 + zz * (1.f / 3 + zz * (1.f / 5 + zz * (1.f / 7 + zz / 9)));
  return static_cast<float>(exponent) * 0.693147181f + 2 * z * series;
}

}  // namespace terse

#endif  // TERSE_WORKER_DATA_EXACT_MATH_H_
