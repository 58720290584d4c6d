// Elementary functions in plain double arithmetic. The C library's differ in
// the last bit from machine to machine (it picks code by the CPU), which would
// tear apart replicas that must agree on a learning rate. Relative error below
// 1e-15 on the ranges that schedules use.
#ifndef TERSE_COMMON_BASE_PORTABLE_MATH_H_
#define TERSE_COMMON_BASE_PORTABLE_MATH_H_

#include <cstdint>

namespace terse {

// base^exponent by squaring.
double PortablePower(double base, uint64_t exponent);

// e^x. 0 below -745 and infinity above 709.7.
double PortableExp(double x);

// Natural logarithm. Requires: x > 0 and finite.
double PortableLog(double x);

// cos(pi * x). Requires: 0 <= x <= 1.
double PortableCosPi(double x);

}  // namespace terse

#endif  // TERSE_COMMON_BASE_PORTABLE_MATH_H_
