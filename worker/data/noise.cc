#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "common/base/random.h"
#include "common/base/status.h"
#include "worker/data/exact_math.h"
#include "worker/data/sources.h"

namespace terse {
namespace {

constexpr size_t kClasses = 10;

// Independent draws of N(0, 1) by Box and Muller's method, two from each pair
// of random words.
void FillGaussian(uint64_t key, std::span<float> values) {
  for (size_t i = 0; i < values.size(); i += 2) {
    // In (0, 1], so that the logarithm is finite.
    const float unit = RandomUnit(key, i) + 0x1p-24f;
    const float radius = std::sqrt(-2 * NaturalLog(unit));
    const SinCos angle = SinCosTurns(RandomUnit(key, i + 1));
    values[i] = radius * angle.cos;
    if (i + 1 < values.size()) values[i + 1] = radius * angle.sin;
  }
}

// Draws each sample anew when it is read; a set of any size takes no memory.
class Noise final : public Dataset {
 public:
  Noise(const Data& data, uint64_t seed)
      : seed_(seed), train_(data.train_samples()), test_(data.test_samples()) {
    for (const uint32_t side : data.shape()) elements_ *= side;
    if (data.shape().empty()) elements_ = 28 * 28;
    teacher_.resize(elements_ * kClasses);
    FillGaussian(DrawKey(Draw::kGenerate, {seed, kTeacher}), teacher_);
  }

  uint64_t size(Split split) const override {
    return split == Split::kTrain ? train_ : test_;
  }

  void Read(Split split, uint64_t index, std::span<float> values,
            std::span<uint32_t> labels) const override {
    TERSE_CHECK(index < size(split) && values.size() == elements_ &&
                labels.size() == 1);
    FillGaussian(
        DrawKey(Draw::kGenerate, {seed_, static_cast<uint64_t>(split), index}),
        values);
    std::array<float, kClasses> scores{};
    for (size_t i = 0; i < elements_; ++i) {
      for (size_t c = 0; c < kClasses; ++c) {
        scores[c] += teacher_[i * kClasses + c] * values[i];
      }
    }
    labels[0] = static_cast<uint32_t>(
        std::max_element(scores.begin(), scores.end()) - scores.begin());
  }

 private:
  static constexpr uint64_t kTeacher = 2;  // Beside the two splits.

  uint64_t seed_;
  uint64_t train_;
  uint64_t test_;
  size_t elements_ = 1;
  std::vector<float> teacher_;  // elements x classes.
};

}  // namespace

std::unique_ptr<Dataset> MakeNoise(const Data& data, uint64_t seed) {
  return std::make_unique<Noise>(data, seed);
}

}  // namespace terse
