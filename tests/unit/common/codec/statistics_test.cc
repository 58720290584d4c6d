// Unbiasedness, exact variance and error of the codecs that promise them, with
// distinct keys as independent draws.
#include <algorithm>
#include <cmath>
#include <functional>

#include "common/base/random.h"
#include "common/codec/terngrad_codec.h"
#include "common/kernels/moments.h"
#include "gtest/gtest.h"
#include "tests/conformance/codec/codec_cases.h"

namespace terse {
namespace {

constexpr int kDraws = 2048;

// Expectation and variance of element i of `values`.
struct Law {
  std::function<double(size_t)> mean;
  std::function<double(size_t)> variance;
};

struct Sample {
  std::vector<double> sums;
  std::vector<double> squares;
};

Sample DrawMany(const Codec& codec, const std::vector<float>& values) {
  Sample sample{std::vector<double>(values.size()),
                std::vector<double>(values.size())};
  std::vector<std::byte> payload(codec.MaxEncodedBytes(values.size()));
  std::vector<float> decoded(values.size());
  for (uint64_t key = 1; key <= kDraws; ++key) {
    const auto bytes = codec.Encode(values, {.key = Mix64(key)}, payload);
    EXPECT_TRUE(bytes.ok());
    std::fill(decoded.begin(), decoded.end(), 0.0f);
    codec.DecodeAdd(std::span(payload).first(*bytes), 1.0f, decoded);
    for (size_t i = 0; i < values.size(); ++i) {
      sample.sums[i] += decoded[i];
      sample.squares[i] += double{decoded[i]} * decoded[i];
    }
  }
  return sample;
}

// Elements whose mean is too far from Gaussian for a bound on each (a level
// taken a handful of times) are judged by their sum; at least `judged_min` must
// remain. `step` is the distance of an element's two levels.
void ExpectFollows(const Sample& sample, const Law& law,
                   const std::function<double(size_t)>& step,
                   int judged_min = 500) {
  double chi_square = 0, pooled = 0, pooled_variance = 0;
  double variance_error = 0, variance_error_variance = 0;
  int judged = 0;
  for (size_t i = 0; i < sample.sums.size(); ++i) {
    const double mean = sample.sums[i] / kDraws;
    const double variance = law.variance(i);
    const double error = mean - law.mean(i);
    pooled += error;
    pooled_variance += variance / kDraws;
    // Two-level law: variance = step^2 p (1 - p).
    const double pq = step(i) > 0 ? variance / (step(i) * step(i)) : 0;
    if (pq * kDraws < 40) continue;
    const double z = error / std::sqrt(variance / kDraws);
    EXPECT_LT(std::fabs(z), 5.5) << "element " << i;
    chi_square += z * z;
    ++judged;
    const double measured =
        (sample.squares[i] - kDraws * mean * mean) / (kDraws - 1);
    variance_error += measured - variance;
    // Of the sample variance of a two-point law.
    variance_error_variance += (std::pow(step(i), 4) * pq * (1 - 4 * pq) +
                                2 * variance * variance / kDraws) /
                               kDraws;
  }
  ASSERT_GE(judged, judged_min);
  EXPECT_LT(std::fabs(chi_square - judged), 6 * std::sqrt(2.1 * judged) + 1e-9);
  EXPECT_LT(std::fabs(pooled), 5.5 * std::sqrt(pooled_variance) + 1e-9);
  EXPECT_LT(std::fabs(variance_error),
            6 * std::sqrt(variance_error_variance) + 1e-9);
}

float TernaryScaleOf(const std::vector<float>& values, float clip_sigmas) {
  return TernGradScale(AddMoments(values.data(), values.size(), nullptr),
                       values.size(), clip_sigmas);
}

TEST(CodecStatisticsTest, TernGradIsUnbiasedUpToItsClip) {
  for (const char* input : {"gaussian", "laplace", "one_hot", "denormal"}) {
    for (float clip : {0.0f, 2.5f}) {
      SCOPED_TRACE(testing::Message() << input << " clip " << clip);
      auto values = CodecInput(input, 3001);
      // Ordinary magnitudes among the one-hot's zeros, to have draws to judge.
      if (std::string(input) == "one_hot") values[5] = 1.0f, values[9] = -0.5f;
      const double scale = TernaryScaleOf(values, clip);
      const TernGradCodec codec(clip);
      // Denormals are judged in units of the scale.
      const double unit = scale < 1e-30 ? scale : 1.0;
      Sample sample = DrawMany(codec, values);
      for (double& sum : sample.sums) sum /= unit;
      for (double& square : sample.squares) square /= unit * unit;
      const auto clipped = [&](size_t i) {
        return std::clamp(double{values[i]}, -scale, scale) / unit;
      };
      ExpectFollows(
          sample,
          {clipped,
           [&](size_t i) {
             const double g = std::fabs(clipped(i));
             return g * (scale / unit - g);
           }},
          [&](size_t) { return scale / unit; },
          std::string(input) == "one_hot" ? 0 : 500);
    }
  }
}

// Level codecs round to a grid of `step` through `origin`.
Law GridLaw(const std::vector<float>& values,
            std::function<double(size_t)> step, double origin) {
  return {[&values](size_t i) { return double{values[i]}; },
          [&values, step, origin](size_t i) {
            if (step(i) == 0) return 0.0;
            const double y = values[i] / step(i) - origin;
            const double f = y - std::floor(y);
            return step(i) * step(i) * f * (1 - f);
          }};
}

double BucketNorm(const std::vector<float>& values, size_t i, size_t bucket,
                  bool l2) {
  double max = 0, squares = 0;
  const size_t start = i / bucket * bucket;
  for (size_t j = start; j < std::min(values.size(), start + bucket); ++j) {
    max = std::max(max, std::fabs(double{values[j]}));
    squares += double{values[j]} * values[j];
  }
  return static_cast<float>(l2 ? std::sqrt(squares) : max);
}

TEST(CodecStatisticsTest, QsgdIsUnbiasedWithItsExactVariance) {
  for (const char* input : {"gaussian", "laplace"}) {
    for (bool l2 : {false, true}) {
      for (int levels : {1, 7, 127}) {
        SCOPED_TRACE(testing::Message() << input << l2 << " " << levels);
        const auto values = CodecInput(input, 1025);
        const auto codec = MakeCodecFromText(
            "kind: QSGD bucket: 512 levels: " + std::to_string(levels) +
            (l2 ? " norm: L2" : ""));
        std::vector<double> steps(values.size());
        for (size_t i = 0; i < values.size(); ++i) {
          steps[i] = BucketNorm(values, i, 512, l2) / levels;
        }
        const auto step = [&steps](size_t i) { return steps[i]; };
        ExpectFollows(DrawMany(*codec, values), GridLaw(values, step, 0), step);
      }
    }
  }
}

TEST(CodecStatisticsTest, DorefaIsUnbiasedWithItsExactVariance) {
  for (const char* input : {"gaussian", "one_hot"}) {
    for (int bits : {1, 2, 4, 8, 16}) {
      SCOPED_TRACE(testing::Message() << input << " " << bits);
      const auto values = CodecInput(input, 1500);
      const auto codec =
          MakeCodecFromText("kind: DOREFA bits: " + std::to_string(bits));
      const double step =
          2 * BucketNorm(values, 0, values.size(), false) / ((1 << bits) - 1);
      const auto same = [step](size_t) { return step; };
      ExpectFollows(DrawMany(*codec, values), GridLaw(values, same, 0.5), same);
    }
  }
}

TEST(CodecStatisticsTest, StochasticUniformIsUnbiasedWithItsExactVariance) {
  for (int bits : {2, 4, 12}) {
    const auto values = CodecInput("laplace", 1500);
    const auto codec = MakeCodecFromText(
        "kind: UNIFORM stochastic: true bits: " + std::to_string(bits));
    const double step =
        BucketNorm(values, 0, values.size(), false) / ((1 << (bits - 1)) - 1);
    const auto same = [step](size_t) { return step; };
    ExpectFollows(DrawMany(*codec, values), GridLaw(values, same, 0), same);
  }
}

TEST(CodecStatisticsTest, NaturalIsUnbiasedWithItsExactVariance) {
  const auto values = CodecInput("gaussian", 1500);
  const auto codec = MakeCodecFromText("kind: NATURAL");
  const auto below = [&values](size_t i) {
    int exponent;
    std::frexp(values[i], &exponent);
    return std::ldexp(1.0, exponent - 1);
  };
  // Between a and 2 a, the step being a; at most an eighth of the square.
  const Law law = {[&](size_t i) { return double{values[i]}; },
                   [&](size_t i) {
                     const double x = std::fabs(double{values[i]});
                     return (x - below(i)) * (2 * below(i) - x);
                   }};
  for (size_t i = 0; i < values.size(); ++i) {
    ASSERT_LE(law.variance(i), double{values[i]} * values[i] / 8 * 1.0001);
  }
  ExpectFollows(DrawMany(*codec, values), law, below);
}

// The mean of a composition: every draw keeps other elements, of large
// variance, so that only the mean is judged, in standard errors as they were
// measured.
TEST(CodecStatisticsTest, RandomKIsUnbiasedWhateverUnbiasedCodecWritesIt) {
  for (const char* options :
       {"kind: RANDOMK ratio: 0.1",
        "kind: RANDOMK ratio: 0.1 values { kind: TERNGRAD clip_sigmas: 0 }",
        "kind: RANDOMK ratio: 0.25 values { kind: QSGD bucket: 64 }",
        "kind: RANDOMK ratio: 0.25 values { kind: DOREFA bits: 2 }",
        "kind: RANDOMK ratio: 0.1 values { kind: NATURAL coding: ENTROPY }"}) {
    SCOPED_TRACE(options);
    const auto values = CodecInput("gaussian", 1000);
    const Sample sample = DrawMany(*MakeCodecFromText(options), values);
    double error = 0, error_variance = 0, squares = 0;
    int judged = 0;
    for (size_t i = 0; i < values.size(); ++i) {
      const double mean = sample.sums[i] / kDraws;
      const double variance = sample.squares[i] / kDraws - mean * mean;
      // Along the values, where a wrong factor shows most.
      error += (mean - values[i]) * values[i];
      error_variance += double{values[i]} * values[i] * variance / kDraws;
      // Small ones are sent too rarely to be judged one by one.
      if (std::fabs(values[i]) < 0.01f) continue;
      squares += std::pow(mean - values[i], 2) / (variance / kDraws);
      ++judged;
    }
    ASSERT_GT(judged, 200);
    EXPECT_LT(std::fabs(error), 5.5 * std::sqrt(error_variance));
    EXPECT_NEAR(squares / judged, 1, 0.4);
  }
}

// What is kept is quantized without bias too: E C(x) is the top-k of x.
TEST(CodecStatisticsTest, KeptValuesKeepTheirMean) {
  const auto values = CodecInput("gaussian", 4000);
  for (const char* inner :
       {"kind: TERNGRAD clip_sigmas: 0", "kind: QSGD levels: 2 bucket: 100"}) {
    const auto plain = MakeCodecFromText("kind: TOPK ratio: 0.2");
    const auto kept = Decode(*plain, MustEncode(*plain, values), values.size());
    const auto codec = MakeCodecFromText(
        std::string("kind: TOPK ratio: 0.2 values { ") + inner + " }");
    const Sample sample = DrawMany(*codec, values);
    for (size_t i = 0; i < values.size(); ++i) {
      const double mean = sample.sums[i] / kDraws;
      if (kept[i] == 0) {
        ASSERT_EQ(mean, 0) << i;
        continue;
      }
      const double variance =
          std::max(0.0, sample.squares[i] / kDraws - mean * mean);
      EXPECT_NEAR(mean, kept[i], 5.5 * std::sqrt(variance / kDraws) + 1e-5);
    }
  }
}

TEST(CodecStatisticsTest, OneBitKeepsTheSumOfABucket) {
  const auto values = CodecInput("laplace", 5000);
  const auto codec = MakeCodecFromText("kind: ONEBIT bucket: 100");
  const auto decoded =
      Decode(*codec, MustEncode(*codec, values), values.size());
  for (size_t start = 0; start < values.size(); start += 100) {
    double sum = 0, sent = 0;
    for (size_t i = start; i < start + 100; ++i) {
      sum += values[i];
      sent += decoded[i];
    }
    ASSERT_NEAR(sum, sent, 1e-4);
  }
}

// Mean squared error over the mean square, on 2^20 Gaussians.
double RelativeError(const std::string& options) {
  const auto codec = MakeCodecFromText(options);
  const auto values = CodecInput("gaussian", 1 << 20);
  const auto decoded =
      Decode(*codec, MustEncode(*codec, values, {.key = 17}), values.size());
  double error = 0, square = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    error += std::pow(double{decoded[i]} - values[i], 2);
    square += double{values[i]} * values[i];
  }
  return error / square;
}

// E[M^power] of the largest M of `count` Gaussian magnitudes.
double MaximumMoment(int count, int power) {
  double moment = 0;
  constexpr double kStep = 1e-3;
  for (double x = kStep / 2; x < 9; x += kStep) {
    const double below = std::pow(std::erf(x / std::sqrt(2)), count);
    moment += power * std::pow(x, power - 1) * (1 - below) * kStep;
  }
  return moment;
}

TEST(CodecStatisticsTest, GaussianErrorsAreThoseOfTheory) {
  const double mean_magnitude = std::sqrt(2 / 3.14159265358979);
  EXPECT_NEAR(RelativeError("kind: TERNGRAD") / 1.0095, 1, 0.02);
  // s = 1: E[M |g|] - 1, and |g| hardly depends on M.
  EXPECT_NEAR(RelativeError("kind: QSGD levels: 1 bucket: 128"),
              MaximumMoment(128, 1) * mean_magnitude - 1, 0.02);
  // A fine grid: a sixth of the step squared.
  const double square = MaximumMoment(512, 2);
  EXPECT_NEAR(RelativeError("kind: QSGD") / (square / 49 / 6), 1, 0.025);
  EXPECT_NEAR(
      RelativeError("kind: QSGD levels: 127") / (square / 127 / 127 / 6), 1,
      0.025);
  EXPECT_NEAR(RelativeError("kind: QSGD levels: 1 norm: L2") / 17.05, 1, 0.02);
  EXPECT_NEAR(RelativeError("kind: QSGD levels: 7 norm: L2") / 1.581, 1, 0.02);
  EXPECT_NEAR(RelativeError("kind: NATURAL") / 0.0817, 1, 0.02);
  // Two levels are best at the mean magnitude, as onebit's means nearly are.
  const double one_bit = 1 - mean_magnitude * mean_magnitude;
  EXPECT_NEAR(RelativeError("kind: SIGN") / one_bit, 1, 0.02);
  EXPECT_NEAR(RelativeError("kind: ONEBIT") / one_bit, 1, 0.02);
}

TEST(CodecStatisticsTest, WorkersDrawIndependently) {
  // The mean of N workers' codes has 1/N of the variance of one.
  constexpr size_t kCount = 4000, kWorkers = 16;
  const auto values = CodecInput("gaussian", kCount);
  const TernGradCodec codec(2.5f);
  const double scale = TernaryScaleOf(values, 2.5f);
  std::vector<float> sum(kCount);
  for (uint64_t worker = 0; worker < kWorkers; ++worker) {
    const uint64_t key = DrawKey(Draw::kEncode, {1, 0, worker, 0});
    codec.DecodeAdd(MustEncode(codec, values, {.key = key}), 1.0f / kWorkers,
                    sum);
  }
  double error = 0, variance = 0;
  for (size_t i = 0; i < kCount; ++i) {
    const double g = std::clamp(double{values[i]}, -scale, scale);
    error += (sum[i] - g) * (sum[i] - g);
    variance += std::fabs(g) * (scale - std::fabs(g)) / kWorkers;
  }
  EXPECT_NEAR(error / variance, 1, 0.1);
}

}  // namespace
}  // namespace terse
