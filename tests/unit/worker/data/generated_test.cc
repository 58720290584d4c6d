#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <thread>
#include <vector>

#include "tests/unit/worker/data/read_label.h"
#include "worker/data/dataset.h"

namespace terse {
namespace {

constexpr size_t kPixels = 28 * 28;
constexpr size_t kClasses = 10;

std::unique_ptr<Dataset> Open(const Data& data, uint64_t seed) {
  auto dataset = OpenDataset(data, "", seed);
  EXPECT_TRUE(dataset.ok()) << dataset.status();
  return *std::move(dataset);
}

struct Samples {
  std::vector<float> values;
  std::vector<uint32_t> labels;
};

Samples ReadAll(const Dataset& data, Split split, size_t elements) {
  const uint64_t count = data.size(split);
  Samples samples{std::vector<float>(count * elements),
                  std::vector<uint32_t>(count)};
  for (uint64_t i = 0; i < count; ++i) {
    samples.labels[i] =
        ReadLabel(data, split, i,
                  std::span(samples.values).subspan(i * elements, elements));
  }
  return samples;
}

TEST(Digits, AreAFunctionOfSeedSplitAndIndex) {
  Data data;
  data.set_train_samples(50);
  data.set_test_samples(20);
  const auto first = Open(data, 1);
  data.set_train_samples(500);
  const auto larger = Open(data, 1);
  const auto other = Open(data, 2);
  std::vector<float> a(kPixels), b(kPixels), c(kPixels);
  for (uint64_t i = 50; i-- > 0;) {
    EXPECT_EQ(ReadLabel(*first, Split::kTrain, i, a),
              ReadLabel(*larger, Split::kTrain, i, b));
    EXPECT_EQ(a, b);
    ReadLabel(*other, Split::kTrain, i, c);
    EXPECT_NE(a, c);
    ReadLabel(*first, Split::kTest, i % 20, c);
    EXPECT_NE(a, c);
  }
  EXPECT_EQ(larger->size(Split::kTrain), 500u);
  EXPECT_EQ(larger->size(Split::kTest), 20u);
}

// A change of any pixel changes what a seed trains on: golden sums catch it.
TEST(Digits, AreTheSamePixelsOnEveryMachine) {
  Data data;
  data.set_train_samples(100);
  const Samples samples = ReadAll(*Open(data, 1), Split::kTrain, kPixels);
  uint64_t hash = 0xcbf29ce484222325u;  // FNV-1a over the bytes and digits.
  for (size_t i = 0; i < samples.labels.size(); ++i) {
    for (size_t p = 0; p < kPixels; ++p) {
      const auto byte = static_cast<uint64_t>(
          std::lround((samples.values[i * kPixels + p] + 1) * 127.5f));
      hash = (hash ^ byte) * 0x100000001b3u;
    }
    hash = (hash ^ samples.labels[i]) * 0x100000001b3u;
  }
  EXPECT_EQ(hash, 2032570049086431121u);
}

TEST(Digits, HaveEveryDigitAndUseTheWholeRange) {
  Data data;
  data.set_train_samples(5000);
  const Samples samples = ReadAll(*Open(data, 3), Split::kTrain, kPixels);
  std::array<int, kClasses> counts{};
  for (const uint32_t label : samples.labels) ++counts.at(label);
  for (const int count : counts) EXPECT_NEAR(count, 500, 120);
  const auto [low, high] =
      std::minmax_element(samples.values.begin(), samples.values.end());
  EXPECT_EQ(*low, -1);
  EXPECT_EQ(*high, 1);
}

TEST(Digits, AreTheSameFromManyThreads) {
  Data data;
  data.set_train_samples(400);
  const Samples expected = ReadAll(*Open(data, 1), Split::kTrain, kPixels);
  const auto shared = Open(data, 1);
  std::array<Samples, 4> found;
  std::vector<std::thread> threads;
  for (Samples& samples : found) {
    threads.emplace_back([&samples, &shared] {
      samples = ReadAll(*shared, Split::kTrain, kPixels);
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const Samples& samples : found) {
    EXPECT_EQ(samples.values, expected.values);
    EXPECT_EQ(samples.labels, expected.labels);
  }
}

// Softmax regression, trained by stochastic gradient descent.
class LinearModel {
 public:
  void Train(const Samples& samples, float rate) {
    for (size_t i = 0; i < samples.labels.size(); ++i) {
      const float* x = &samples.values[i * kPixels];
      std::array<float, kClasses> shares = Scores(x);
      const float largest = *std::max_element(shares.begin(), shares.end());
      float sum = 0;
      for (float& share : shares) sum += share = std::exp(share - largest);
      for (size_t c = 0; c < kClasses; ++c) {
        const float error =
            shares[c] / sum - (c == samples.labels[i] ? 1.f : 0.f);
        for (size_t p = 0; p < kPixels; ++p) {
          weights_[c][p] -= rate * error * x[p];
        }
        biases_[c] -= rate * error;
      }
    }
  }

  double Accuracy(const Samples& samples) const {
    size_t correct = 0;
    for (size_t i = 0; i < samples.labels.size(); ++i) {
      const auto scores = Scores(&samples.values[i * kPixels]);
      const auto best = std::max_element(scores.begin(), scores.end());
      correct +=
          static_cast<size_t>(best - scores.begin()) == samples.labels[i];
    }
    return static_cast<double>(correct) /
           static_cast<double>(samples.labels.size());
  }

 private:
  std::array<float, kClasses> Scores(const float* x) const {
    std::array<float, kClasses> scores = biases_;
    for (size_t c = 0; c < kClasses; ++c) {
      for (size_t p = 0; p < kPixels; ++p) scores[c] += weights_[c][p] * x[p];
    }
    return scores;
  }

  std::array<std::array<float, kPixels>, kClasses> weights_{};
  std::array<float, kClasses> biases_{};
};

// If a linear model could do it, a trained network would prove little; if it
// could not even start, neither.
TEST(Digits, AreTooHardForALinearModel) {
  const auto data = Open(Data(), 1);
  const Samples train = ReadAll(*data, Split::kTrain, kPixels);
  const Samples test = ReadAll(*data, Split::kTest, kPixels);
  auto model = std::make_unique<LinearModel>();
  for (const float rate : {3e-3f, 1e-3f, 3e-4f}) model->Train(train, rate);
  const double accuracy = model->Accuracy(test);
  RecordProperty("accuracy", std::to_string(accuracy));
  EXPECT_LT(accuracy, 0.95);
  EXPECT_GT(accuracy, 0.6);
}

TEST(Noise, IsGaussianWithIndependentPixels) {
  Data data;
  data.set_kind(Data::NOISE);
  data.set_train_samples(2000);
  data.add_shape(3);
  data.add_shape(5);
  data.add_shape(5);
  constexpr size_t kElements = 75;
  const auto dataset = Open(data, 1);
  const Samples samples = ReadAll(*dataset, Split::kTrain, kElements);
  double sum = 0, squares = 0, fourths = 0, neighbours = 0;
  for (size_t i = 0; i < samples.values.size(); ++i) {
    const double x = samples.values[i];
    sum += x;
    squares += x * x;
    fourths += x * x * x * x;
    if (i > 0) neighbours += x * samples.values[i - 1];
  }
  const double n = static_cast<double>(samples.values.size());
  EXPECT_NEAR(sum / n, 0, 0.013);  // Five standard errors each.
  EXPECT_NEAR(squares / n, 1, 0.019);
  EXPECT_NEAR(fourths / n, 3, 0.13);
  EXPECT_NEAR(neighbours / n, 0, 0.013);

  std::vector<float> again(kElements);
  EXPECT_EQ(ReadLabel(*dataset, Split::kTrain, 7, again), samples.labels[7]);
  EXPECT_TRUE(std::equal(again.begin(), again.end(),
                         samples.values.begin() + 7 * kElements));
}

TEST(Noise, HasLabelsThatALinearModelLearns) {
  Data data;
  data.set_kind(Data::NOISE);
  const auto dataset = Open(data, 4);
  const Samples train = ReadAll(*dataset, Split::kTrain, kPixels);
  const Samples test = ReadAll(*dataset, Split::kTest, kPixels);
  std::array<int, kClasses> counts{};
  for (const uint32_t label : train.labels) ++counts.at(label);
  EXPECT_GT(*std::min_element(counts.begin(), counts.end()), 1000);
  auto model = std::make_unique<LinearModel>();
  for (const float rate : {3e-3f, 1e-3f}) model->Train(train, rate);
  EXPECT_GT(model->Accuracy(test), 0.6);
}

}  // namespace
}  // namespace terse
