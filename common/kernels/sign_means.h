// One-bit SGD (Seide et al. 2014): a sign for each element, and the means of
// those below and of those above zero.
#ifndef TERSE_COMMON_KERNELS_SIGN_MEANS_H_
#define TERSE_COMMON_KERNELS_SIGN_MEANS_H_

#include <cstddef>
#include <cstdint>

namespace terse {

// Of magnitudes; 0 where there are no elements.
struct SignMeans {
  float negative = 0;  // Of the elements with the sign bit.
  float positive = 0;
};

// Sums are taken in kSignMeanLanes doubles, element i in lane i mod so many,
// and folded in the order of the lanes.
inline constexpr size_t kSignMeanLanes = 8;
SignMeans MeansBySign(const float* values, size_t count);

// Takes from each element the mean of its side, with its sign.
void SubtractSignMeans(SignMeans means, float* values, size_t count);

// target[i] += weight * (the mean of i's side, with its sign). `packed`: signs
// as codes of one bit (pack.h), 0 where negative; `means`: negative and
// positive float32 of every `bucket` elements. weight * mean is rounded first.
void AddSignMeans(const uint8_t* means, const uint8_t* packed, size_t bucket,
                  size_t count, float weight, float* target);

namespace reference {

SignMeans MeansBySign(const float* values, size_t count);
void SubtractSignMeans(SignMeans means, float* values, size_t count);
// Elements `first` (a multiple of kPackGroup) to `count` - 1.
void AddSignMeans(const uint8_t* means, const uint8_t* packed, size_t bucket,
                  size_t first, size_t count, float weight, float* target);

}  // namespace reference

// What the kernels and the reference share.
struct SignSums {
  double negative[kSignMeanLanes] = {};
  double positive[kSignMeanLanes] = {};
  size_t negatives = 0;

  void Add(float x, size_t lane);
  SignMeans Means(size_t count) const;
};

}  // namespace terse

#endif  // TERSE_COMMON_KERNELS_SIGN_MEANS_H_
