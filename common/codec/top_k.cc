#include "common/codec/top_k.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <functional>

#include "common/kernels/moments.h"
#include "common/kernels/select.h"

namespace terse {
namespace {

constexpr size_t kSamples = 2048;

uint32_t Magnitude(float x) { return std::bit_cast<uint32_t>(x) & 0x7fffffffu; }

// Samples lie in runs of a cache line, as many as kSamples / kSampleRun.
constexpr size_t kSampleRun = 16;

// A magnitude that a little more than k elements reach, from a sample; at least
// 1. The three standard deviations make a second look at the block rare.
uint32_t GuessThreshold(std::span<const float> values, const float* residual,
                        size_t k, std::vector<uint32_t>& samples) {
  const size_t count = values.size();
  if (count <= 2 * kSamples) return 1;
  const size_t runs = kSamples / kSampleRun;
  const size_t stride = count / runs;
  samples.resize(kSamples);
  for (size_t run = 0; run < runs; ++run) {
    // A place of its own within each stride keeps clear of periodic data.
    const size_t start =
        run * stride + (run * 0x9e3779b1u >> 8) % (stride - kSampleRun + 1);
    for (size_t i = 0; i < kSampleRun; ++i) {
      const size_t e = start + i;
      samples[run * kSampleRun + i] =
          Magnitude(residual != nullptr ? residual[e] + values[e] : values[e]);
    }
  }
  const double expected = static_cast<double>(kSamples) *
                          static_cast<double>(k) / static_cast<double>(count);
  const auto rank = static_cast<size_t>(expected + 3 * std::sqrt(expected) + 2);
  if (rank >= kSamples) return 1;
  std::nth_element(samples.begin(), samples.begin() + rank, samples.end(),
                   std::greater<>());
  return std::max(samples[rank], 1u);
}

// The k-th largest of the magnitudes, and how many are larger: a histogram of
// what leads them by most bits, then the few that share a cell with the k-th.
// Reorders the magnitudes.
struct KthLargest {
  uint32_t magnitude;
  size_t larger;
};

KthLargest FindKthLargest(std::vector<uint32_t>& magnitudes, size_t k) {
  const auto [least, most] =
      std::minmax_element(magnitudes.begin(), magnitudes.end());
  const uint32_t base = *least;
  const int shift =
      std::max(0, static_cast<int>(std::bit_width(*most - base)) - 10);
  std::array<uint32_t, 1025> cells = {};
  for (uint32_t m : magnitudes) ++cells[(m - base) >> shift];
  size_t larger = 0;
  size_t cell = (*most - base) >> shift;
  while (larger + cells[cell] < k) larger += cells[cell--];
  size_t tied = 0;
  for (uint32_t m : magnitudes) {
    magnitudes[tied] = m;
    tied += (m - base) >> shift == cell ? 1 : 0;
  }
  const auto kth = magnitudes.begin() + (k - larger - 1);
  std::nth_element(magnitudes.begin(), kth, magnitudes.begin() + tied,
                   std::greater<>());
  for (auto m = magnitudes.begin(); m != kth; ++m) larger += *m > *kth ? 1 : 0;
  return {*kth, larger};
}

// Adds the lowest indices of zeros to the `found` of the others (all of them),
// to make k.
void FillWithZeros(const float* x, size_t found, size_t k,
                   std::vector<uint32_t>& indices) {
  size_t missing = k - found;
  std::vector<uint32_t> zeros;
  for (size_t i = 0; missing > 0; ++i) {
    if (x[i] != 0) continue;
    zeros.push_back(static_cast<uint32_t>(i));
    --missing;
  }
  std::vector<uint32_t> merged(k);
  std::merge(indices.begin(), indices.begin() + found, zeros.begin(),
             zeros.end(), merged.begin());
  std::copy(merged.begin(), merged.end(), indices.begin());
}

// Of the `found` > k candidates keeps the k largest, in order.
void KeepLargest(const float* x, size_t found, size_t k, TopKScratch& scratch) {
  std::vector<uint32_t>& magnitudes = scratch.magnitudes;
  uint32_t* const indices = scratch.indices.data();
  magnitudes.resize(found);
  for (size_t c = 0; c < found; ++c) magnitudes[c] = Magnitude(x[indices[c]]);
  const KthLargest kth = FindKthLargest(magnitudes, k);
  const uint32_t least = kth.magnitude;
  size_t ties = k - kth.larger;
  size_t kept = 0;
  for (size_t c = 0; c < found; ++c) {
    const uint32_t magnitude = Magnitude(x[indices[c]]);
    const bool tie = magnitude == least && ties > 0;
    ties -= tie ? 1 : 0;
    indices[kept] = indices[c];
    kept += magnitude > least || tie ? 1 : 0;
  }
}

}  // namespace

size_t KeptCount(double ratio, size_t count) {
  if (count == 0) return 0;
  if (ratio >= 1) return count;
  // A ratio like 0.1 is a little more as a float; that must not cost an
  // element.
  const double wanted =
      std::ceil(ratio * (1 - 0x1p-23) * static_cast<double>(count));
  return static_cast<size_t>(
      std::clamp(wanted, 1.0, static_cast<double>(count)));
}

bool SelectTopK(std::span<const float> values, float* residual, size_t k,
                TopKScratch& scratch, std::span<const uint32_t>* indices) {
  const size_t count = values.size();
  scratch.indices.resize(count + kSelectSlack);
  const uint32_t threshold =
      GuessThreshold(values, residual, k, scratch.magnitudes);
  size_t found = SelectAtLeast(values.data(), count, residual, threshold,
                               scratch.indices.data());
  const float* const x = residual != nullptr ? residual : values.data();
  if (found < k && threshold > 1) {
    found = SelectAtLeast(x, count, nullptr, 1, scratch.indices.data());
  }
  // Whatever is not finite is among the candidates, being the largest.
  for (size_t c = 0; c < found; ++c) {
    if (Magnitude(x[scratch.indices[c]]) >= kInfinityBits) return false;
  }
  if (found < k) {
    FillWithZeros(x, found, k, scratch.indices);
  } else if (found > k) {
    KeepLargest(x, found, k, scratch);
  }
  *indices = std::span(scratch.indices).first(k);
  return true;
}

}  // namespace terse
