#include "common/base/portable_math.h"

#include <cmath>
#include <limits>
#include <numbers>

namespace terse {
namespace {

// ln 2 in two parts, the first with 32 trailing zero bits, so that n * kLn2High
// is exact for |n| < 2^20.
constexpr double kLn2High = 0x1.62e42feep-1;
constexpr double kLn2Low = 0x1.a39ef35793c76p-33;

// Sum of (-1)^k y^k * term_0 / ((first+1)(first+2) ... ), terms of the series
// of sine (first = 1) and cosine (first = 0) in y = x^2.
double AlternatingSeries(double y, double term, int first) {
  double sum = 0;
  for (int k = first; k < first + 24; k += 2) {
    sum += term;
    term *= -y / ((k + 1) * (k + 2));
  }
  return sum;
}

}  // namespace

double PortablePower(double base, uint64_t exponent) {
  double result = 1;
  for (; exponent != 0; exponent >>= 1, base *= base) {
    if (exponent & 1) result *= base;
  }
  return result;
}

double PortableExp(double x) {
  if (x != x) return x;
  if (x < -745.2) return 0;
  if (x > 709.79) return std::numeric_limits<double>::infinity();
  // x = n ln2 + r with |r| <= ln2 / 2, where 18 terms reach 1e-19.
  const double n = std::floor(x * std::numbers::log2e + 0.5);
  const double r = (x - n * kLn2High) - n * kLn2Low;
  double sum = 1;
  for (int k = 18; k > 0; --k) sum = 1 + sum * r / k;
  return std::ldexp(sum, static_cast<int>(n));
}

double PortableLog(double x) {
  // x = m 2^n with m in [sqrt(1/2), sqrt(2)), ln m = 2 artanh((m-1)/(m+1)).
  int n = 0;
  double m = std::frexp(x, &n);
  if (m < std::numbers::sqrt2 / 2) {
    m *= 2;
    --n;
  }
  const double z = (m - 1) / (m + 1);
  double series = 0;  // |z| < 0.172: 13 terms reach 1e-20.
  for (int k = 25; k > 0; k -= 2) series = series * (z * z) + 1.0 / k;
  return n * kLn2High + (2 * z * series + n * kLn2Low);
}

double PortableCosPi(double x) {
  if (x > 0.5) return -PortableCosPi(1 - x);
  const double angle =
      std::numbers::pi * (x <= 0.25 ? x : 0.5 - x);  // At most pi / 4.
  if (x <= 0.25) return AlternatingSeries(angle * angle, 1, 0);
  return AlternatingSeries(angle * angle, angle, 1);
}

}  // namespace terse
