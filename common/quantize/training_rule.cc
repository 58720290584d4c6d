#include "common/quantize/training_rule.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "common/base/random.h"
#include "common/base/status.h"

namespace terse {
namespace {

// The grid's points are step * (k + shift).
double ShiftOf(const WeightGrid& grid) { return grid.has_zero ? 0 : 0.5; }

// The weight that a quantizer decodes for point k: one rounding.
float PointOf(const WeightGrid& grid, double k) {
  const auto point = static_cast<float>(k + ShiftOf(grid)) * grid.step;
  return std::clamp(point, -grid.max, grid.max);
}

}  // namespace

void RoundToGrid(const WeightGrid& grid, std::span<float> weights) {
  const double step = grid.step;
  for (float& weight : weights) {
    if (std::isnan(weight)) continue;
    const double steps = weight / step;
    if (!grid.has_zero) {
      weight = PointOf(grid, std::floor(steps));
      continue;
    }
    const double nearest = std::floor(std::fabs(steps) + 0.5);
    weight = PointOf(grid, weight < 0 ? -nearest : nearest);
  }
}

void RoundToGridAtRandom(const WeightGrid& grid, uint64_t key,
                         uint64_t first_index, std::span<float> weights) {
  const double step = grid.step;
  for (size_t i = 0; i < weights.size(); ++i) {
    if (std::isnan(weights[i])) continue;
    const double steps = weights[i] / step - ShiftOf(grid);
    // A point is the rounded product: the quotient may lie beside its integer.
    const float nearest = PointOf(grid, std::round(steps));
    if (nearest == weights[i]) continue;
    const double below = std::floor(steps);
    const bool up = RandomUnit(key, first_index + i) < steps - below;
    weights[i] = PointOf(grid, up ? below + 1 : below);
  }
}

void CenterChannels(size_t channels, size_t positions,
                    std::span<float> weights) {
  const size_t row = channels * positions;
  TERSE_CHECK(row > 0 && weights.size() % row == 0);
  std::vector<double> sums(positions);
  for (size_t first = 0; first < weights.size(); first += row) {
    std::fill(sums.begin(), sums.end(), 0.0);
    for (size_t i = 0; i < row; ++i) sums[i % positions] += weights[first + i];
    for (double& sum : sums) sum /= static_cast<double>(channels);
    for (size_t i = 0; i < row; ++i) {
      weights[first + i] =
          static_cast<float>(weights[first + i] - sums[i % positions]);
    }
  }
}

void ClipWeights(float max, std::span<float> weights) {
  for (float& weight : weights) weight = std::clamp(weight, -max, max);
}

}  // namespace terse
