#include <algorithm>
#include <cmath>
#include <cstring>

#include "common/kernels/pack.h"
#include "common/kernels/sign_means.h"

namespace terse {

void SignSums::Add(float x, size_t lane) {
  const bool below = std::signbit(x);
  negative[lane] += below ? -double{x} : 0.0;
  positive[lane] += below ? 0.0 : double{x};
  negatives += below ? 1 : 0;
}

SignMeans SignSums::Means(size_t count) const {
  const auto mean = [](const double(&lanes)[kSignMeanLanes], size_t elements) {
    double sum = 0;
    for (double lane : lanes) sum += lane;
    return elements > 0
               ? static_cast<float>(sum / static_cast<double>(elements))
               : 0.0f;
  };
  return {mean(negative, negatives), mean(positive, count - negatives)};
}

namespace reference {

SignMeans MeansBySign(const float* values, size_t count) {
  SignSums sums;
  for (size_t i = 0; i < count; ++i) sums.Add(values[i], i % kSignMeanLanes);
  return sums.Means(count);
}

void SubtractSignMeans(SignMeans means, float* values, size_t count) {
  for (size_t i = 0; i < count; ++i) {
    values[i] = std::signbit(values[i]) ? values[i] + means.negative
                                        : values[i] - means.positive;
  }
}

void AddSignMeans(const uint8_t* means, const uint8_t* packed, size_t bucket,
                  size_t first, size_t count, float weight, float* target) {
  uint8_t codes[kPackGroup];
  for (size_t start = first; start < count; start += kPackGroup) {
    const size_t size = std::min(kPackGroup, count - start);
    if (size == kPackGroup) {
      UnpackGroup(packed + start / 8, 1, codes);
    } else {
      UnpackRest(packed + start / 8, size, 1, codes);
    }
    for (size_t i = 0; i < size; ++i) {
      const size_t side = 2 * ((start + i) / bucket) + codes[i];
      float mean;
      std::memcpy(&mean, means + side * sizeof(float), sizeof(float));
      target[start + i] += (codes[i] != 0 ? mean : -mean) * weight;
    }
  }
}

}  // namespace reference
}  // namespace terse
