#include "worker/torch/loss.h"

#include <algorithm>
#include <cmath>

#include "common/base/status.h"

namespace terse {
namespace {

double CrossEntropy(std::span<const float> scores, uint32_t label,
                    double gradient_scale, std::span<float> gradient) {
  const double largest = *std::max_element(scores.begin(), scores.end());
  double sum = 0;
  for (const float score : scores) sum += std::exp(score - largest);
  for (size_t c = 0; c < gradient.size(); ++c) {
    const double share = std::exp(scores[c] - largest) / sum;
    gradient[c] =
        static_cast<float>((share - (c == label ? 1 : 0)) * gradient_scale);
  }
  return std::log(sum) + largest - scores[label];
}

double SquaredHinge(std::span<const float> scores, uint32_t label,
                    double gradient_scale, std::span<float> gradient) {
  double loss = 0;
  for (size_t c = 0; c < scores.size(); ++c) {
    const double target = c == label ? 1 : -1;
    const double margin = 1 - target * scores[c];
    // A NaN stays one: it must be seen in the loss.
    const double over = margin < 0 ? 0 : margin;
    loss += over * over;
    if (!gradient.empty()) {
      gradient[c] = static_cast<float>(-2 * target * over * gradient_scale);
    }
  }
  return loss;
}

}  // namespace

LossSums ComputeLoss(Model::Loss loss, std::span<const float> scores,
                     std::span<const uint32_t> labels,
                     std::span<float> gradient) {
  TERSE_CHECK(!labels.empty());
  const size_t classes = scores.size() / labels.size();
  TERSE_CHECK(classes * labels.size() == scores.size());
  TERSE_CHECK(gradient.empty() || gradient.size() == scores.size());
  const double gradient_scale = 1.0 / static_cast<double>(labels.size());
  LossSums sums{.samples = labels.size()};
  for (size_t i = 0; i < labels.size(); ++i) {
    const auto row = scores.subspan(i * classes, classes);
    const auto gradient_row =
        gradient.empty() ? gradient : gradient.subspan(i * classes, classes);
    sums.loss +=
        loss == Model::SQUARED_HINGE
            ? SquaredHinge(row, labels[i], gradient_scale, gradient_row)
            : CrossEntropy(row, labels[i], gradient_scale, gradient_row);
    const auto best = std::max_element(row.begin(), row.end());
    sums.correct += best - row.begin() == labels[i] ? 1 : 0;
  }
  return sums;
}

}  // namespace terse
