#include "deploy/launch/bench_statistics.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <numeric>

#include "absl/container/flat_hash_map.h"
#include "common/base/limits.h"
#include "common/base/status.h"
#include "common/codec/index_coding.h"

namespace terse {
namespace {

using Counts = absl::flat_hash_map<uint32_t, uint64_t>;

double EntropyOf(const Counts& counts) {
  std::vector<uint64_t> frequencies;
  for (const auto& [symbol, count] : counts) frequencies.push_back(count);
  // Sums of floats in an order that does not depend on the table's.
  std::sort(frequencies.begin(), frequencies.end());
  return EntropyBits(frequencies);
}

// The distinct values of a block; false, and `counts` means nothing, if they
// are no levels.
bool CountValues(std::span<const float> decoded, Counts& counts) {
  counts.clear();
  for (const float value : decoded) {
    ++counts[std::bit_cast<uint32_t>(value == 0 ? 0.0f : value)];
    if (counts.size() > kSymbolsMax) return false;
  }
  const auto zeros = counts.find(std::bit_cast<uint32_t>(0.0f));
  const size_t others =
      decoded.size() - (zeros == counts.end() ? 0 : zeros->second);
  // The few values of a sparse codec are as good as all different.
  return counts.size() <= std::max<size_t>(16, others / 8);
}

// The levels of a bucketed codec: decoded / step, the step found as the encoder
// finds it (common/codec/FORMAT.md).
void CountLevels(const GradientCodec& codec, std::span<const float> values,
                 std::span<const float> decoded, Counts& counts) {
  for (size_t first = 0; first < values.size(); first += codec.bucket()) {
    const size_t count =
        std::min<size_t>(codec.bucket(), values.size() - first);
    double max = 0;
    double squares = 0;
    for (const float value : values.subspan(first, count)) {
      max = std::max(max, std::abs(double{value}));
      squares += double{value} * value;
    }
    const double norm =
        codec.norm() == GradientCodec::L2 ? std::sqrt(squares) : max;
    for (const float value : decoded.subspan(first, count)) {
      const double level = norm > 0 ? value * (codec.levels() / norm) : 0;
      ++counts[static_cast<uint32_t>(std::lround(level))];
    }
  }
}

struct ByteCounts {
  uint64_t zeros = 0;
  uint64_t others = 0;
  std::array<std::array<uint64_t, 256>, sizeof(float)> bytes = {};

  void Add(std::span<const float> decoded) {
    for (const float value : decoded) {
      if (value == 0) {
        ++zeros;
        continue;
      }
      ++others;
      const auto bits = std::bit_cast<uint32_t>(value);
      for (size_t b = 0; b < bytes.size(); ++b) {
        ++bytes[b][(bits >> (8 * b)) & 0xff];
      }
    }
  }

  double Entropy() const {
    const double share =
        static_cast<double>(others) / static_cast<double>(zeros + others);
    double bits = EntropyBits(std::array{zeros, others});
    for (const auto& counts : bytes) bits += share * EntropyBits(counts);
    return bits;
  }
};

}  // namespace

double Median(std::vector<double> values) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle]
                                : (values[middle - 1] + values[middle]) / 2;
}

double CoefficientOfVariation(std::span<const double> values) {
  if (values.size() < 2) return 0;
  const double count = static_cast<double>(values.size());
  const double mean =
      std::accumulate(values.begin(), values.end(), 0.0) / count;
  double squares = 0;
  for (const double value : values) squares += (value - mean) * (value - mean);
  return mean > 0 ? std::sqrt(squares / (count - 1)) / mean : 0;
}

double EntropyBits(std::span<const uint64_t> counts) {
  double total = 0;
  for (const uint64_t count : counts) total += static_cast<double>(count);
  double bits = 0;
  for (const uint64_t count : counts) {
    if (count == 0) continue;
    const double share = static_cast<double>(count) / total;
    bits -= share * std::log2(share);
  }
  return bits + 0.0;  // Not -0 of a single symbol.
}

Fidelity CompareDecoded(std::span<const float> values,
                        std::span<const float> decoded) {
  TERSE_CHECK(values.size() == decoded.size());
  double value_squares = 0, decoded_squares = 0, products = 0;
  double errors = 0, error_squares = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    const double value = values[i];
    const double error = decoded[i] - value;
    value_squares += value * value;
    decoded_squares += double{decoded[i]} * decoded[i];
    products += value * decoded[i];
    errors += error;
    error_squares += error * error;
  }
  Fidelity fidelity;
  if (value_squares == 0 || decoded_squares == 0) {
    const bool both = value_squares == decoded_squares;
    fidelity.cosine = both ? 1 : 0;
    fidelity.rel_l2 = both ? 0 : 1;
    return fidelity;
  }
  const double count = static_cast<double>(values.size());
  const double scale = std::sqrt(value_squares / count);
  const double mean = errors / count;
  const double variance = std::max(0.0, error_squares / count - mean * mean) *
                          (count > 1 ? count / (count - 1) : 1);
  fidelity.rel_l2 = std::sqrt(error_squares / value_squares);
  fidelity.cosine =
      products / (std::sqrt(value_squares) * std::sqrt(decoded_squares));
  fidelity.bias = mean / scale;
  // 97.5 % of a normal distribution lie below 1.96 deviations.
  fidelity.bias_ci95 = 1.959964 * std::sqrt(variance / count) / scale;
  return fidelity;
}

std::optional<double> IndexBitsOverChoose(std::span<const float> decoded) {
  double bits = 0;
  double bits_min = 0;
  while (!decoded.empty()) {
    const auto block =
        decoded.first(std::min(kBlockElementsMax, decoded.size()));
    decoded = decoded.subspan(block.size());
    std::vector<uint32_t> indices;
    for (size_t i = 0; i < block.size(); ++i) {
      if (block[i] != 0) indices.push_back(static_cast<uint32_t>(i));
    }
    std::vector<uint8_t> coded(MaxIndexBytes(block.size(), indices.size()));
    bits +=
        8.0 * static_cast<double>(EncodeIndices(indices, block.size(), coded));
    const auto n = static_cast<double>(block.size());
    const auto k = static_cast<double>(indices.size());
    bits_min +=
        (std::lgamma(n + 1) - std::lgamma(k + 1) - std::lgamma(n - k + 1)) /
        std::log(2.0);
  }
  if (!(bits_min > 0)) return std::nullopt;
  return bits / bits_min;
}

double SymbolEntropyBits(const GradientCodec& codec,
                         std::span<const float> values,
                         std::span<const float> decoded) {
  TERSE_CHECK(values.size() == decoded.size());
  if (decoded.empty()) return 0;
  const double total = static_cast<double>(decoded.size());
  Counts counts;
  if (codec.kind() == GradientCodec::QSGD) {
    for (size_t first = 0; first < values.size(); first += kBlockElementsMax) {
      const size_t count = std::min(kBlockElementsMax, values.size() - first);
      CountLevels(codec, values.subspan(first, count),
                  decoded.subspan(first, count), counts);
    }
    return EntropyOf(counts);
  }
  double bits = 0;
  for (size_t first = 0; first < decoded.size(); first += kBlockElementsMax) {
    const auto block = decoded.subspan(
        first, std::min(kBlockElementsMax, decoded.size() - first));
    if (!CountValues(block, counts)) {
      ByteCounts bytes;
      bytes.Add(decoded);
      return bytes.Entropy();
    }
    bits += EntropyOf(counts) * static_cast<double>(block.size()) / total;
  }
  return bits;
}

}  // namespace terse
