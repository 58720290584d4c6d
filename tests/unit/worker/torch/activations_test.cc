#include "worker/torch/activations.h"

#include <ATen/Functions.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

namespace terse {
namespace {

at::Tensor Row(const std::vector<float>& values) {
  at::Tensor row = at::empty({static_cast<int64_t>(values.size())});
  std::copy(values.begin(), values.end(), row.data_ptr<float>());
  return row;
}

std::vector<float> Values(const at::Tensor& tensor) {
  const at::Tensor row = tensor.contiguous();
  return {row.data_ptr<float>(), row.data_ptr<float>() + row.numel()};
}

// What comes out of `function` and, for upstream gradients 1, 2, 3 ..., what
// goes back.
struct Passed {
  std::vector<float> outputs;
  std::vector<float> gradients;
};

template <typename Function>
Passed Pass(const std::vector<float>& inputs, Function function) {
  at::Tensor x = Row(inputs);
  x.set_requires_grad(true);
  const at::Tensor y = function(x);
  y.backward(at::arange(1, static_cast<int64_t>(inputs.size()) + 1,
                        at::TensorOptions(at::kFloat)));
  return {Values(y), Values(x.grad())};
}

const float kAboveOne = std::nextafter(1.f, 2.f);
const float kTiny = std::numeric_limits<float>::denorm_min();

TEST(BinarySign, ValuesAndMaskAtTheEdges) {
  const Passed passed =
      Pass({-kAboveOne, -1, -0.5f, -kTiny, -0.f, 0.f, kTiny, 1, kAboveOne},
           [](const at::Tensor& x) { return BinarySign(x); });
  EXPECT_EQ(passed.outputs,
            (std::vector<float>{-1, -1, -1, -1, 1, 1, 1, 1, 1}));
  EXPECT_EQ(passed.gradients, (std::vector<float>{0, 2, 3, 4, 5, 6, 7, 8, 0}));
}

TEST(DorefaActivation, RoundsHalvesToEven) {
  // Two bits: levels 0, 1/3, 2/3, 1; halves of a level at 1/6, 3/6, 5/6.
  const auto two_bits = [](const at::Tensor& x) {
    return DorefaActivation(x, 2);
  };
  const Passed passed =
      Pass({-1, 0, 0.16f, 0.17f, 0.5f, 0.84f, 1, 7}, two_bits);
  const float third = 1.f / 3, two_thirds = 2.f / 3;
  EXPECT_EQ(passed.outputs,
            (std::vector<float>{0, 0, 0, third, two_thirds, 1, 1, 1}));
  // One bit: the half of the only level goes to the even side, zero.
  const auto one_bit = [](const at::Tensor& x) {
    return DorefaActivation(x, 1);
  };
  EXPECT_EQ(Pass({0.5f, std::nextafter(0.5f, 1.f)}, one_bit).outputs,
            (std::vector<float>{0, 1}));
}

TEST(DorefaActivation, MaskAtTheEdges) {
  for (const uint32_t bits : {1, 2, 8, 16}) {
    const Passed passed =
        Pass({-1, -kTiny, -0.f, 0.f, 0.3f, 1, kAboveOne, 2},
             [bits](const at::Tensor& x) { return DorefaActivation(x, bits); });
    EXPECT_EQ(passed.gradients, (std::vector<float>{0, 0, 3, 4, 5, 6, 0, 0}));
  }
}

TEST(DorefaActivation, IsNearestOfTheLevels) {
  for (const uint32_t bits : {1, 3, 8, 16}) {
    const double levels = (1 << bits) - 1;
    std::vector<float> inputs;
    for (int i = 0; i <= 1000; ++i) inputs.push_back(float(i) / 1000);
    const Passed passed = Pass(inputs, [bits](const at::Tensor& x) {
      return DorefaActivation(x, bits);
    });
    for (size_t i = 0; i < inputs.size(); ++i) {
      const double level = passed.outputs[i] * levels;
      ASSERT_NEAR(level, std::round(level), 1e-2);
      ASSERT_LE(std::abs(passed.outputs[i] - inputs[i]), 0.5 / levels + 1e-6);
    }
  }
}

struct PactPassed {
  Passed x;
  float clip_gradient = 0;
};

PactPassed PassPact(const std::vector<float>& inputs, float clip, uint32_t bits,
                    float decay) {
  at::Tensor c = Row({clip}).set_requires_grad(true);
  PactPassed passed;
  passed.x = Pass(inputs, [&](const at::Tensor& x) {
    return PactActivation(x, c, bits, decay);
  });
  passed.clip_gradient = c.grad().item<float>();
  return passed;
}

TEST(PactActivation, ValuesAndMasksAtTheEdges) {
  const float above = std::nextafter(3.f, 4.f),
              below = std::nextafter(3.f, 0.f);
  const PactPassed passed = PassPact(
      {-1, -0.f, 0.f, kTiny, 0.4f, 0.6f, 1.6f, below, 3, above, 9}, 3, 2, 0);
  EXPECT_EQ(passed.x.outputs,
            (std::vector<float>{0, 0, 0, 0, 0, 1, 2, 3, 3, 3, 3}));
  EXPECT_EQ(passed.x.gradients,
            (std::vector<float>{0, 0, 0, 4, 5, 6, 7, 8, 0, 0, 0}));
  EXPECT_EQ(passed.clip_gradient, 9 + 10 + 11);
}

TEST(PactActivation, ThePenaltyIsTwiceDecayTimesClip) {
  // All below the clip: nothing but the penalty moves it.
  EXPECT_FLOAT_EQ(PassPact({-1, 0.5f, 1.9f}, 2, 4, 0.25f).clip_gradient, 1);
  // A clip that went below zero still clips, and finds its way back.
  const PactPassed lost = PassPact({-1, 0, 1}, -2, 4, 0.25f);
  EXPECT_EQ(lost.x.outputs, (std::vector<float>{0, 0, 1e-3f}));
  EXPECT_FLOAT_EQ(lost.clip_gradient, 3 - 1);
}

// Without the rounding, which 16 bits nearly are.
TEST(PactActivation, GradientIsTheDerivative) {
  const std::vector<float> inputs = {-1, 0.25f, 0.8f, 1.3f, 2, 5};
  const auto loss = [&](float clip, uint32_t shifted, float by) {
    double sum = 0.1 * clip * clip;
    for (uint32_t i = 0; i < inputs.size(); ++i) {
      const float x = inputs[i] + (i == shifted ? by : 0);
      sum += (i + 1) * std::fmin(std::fmax(x, 0.f), clip);
    }
    return sum;
  };
  const PactPassed passed = PassPact(inputs, 1.5f, 16, 0.1f);
  for (size_t i = 0; i < inputs.size(); ++i) {
    EXPECT_NEAR(passed.x.outputs[i], std::fmin(std::fmax(inputs[i], 0.f), 1.5f),
                3e-5);
  }
  const auto none = static_cast<uint32_t>(inputs.size());
  EXPECT_NEAR(passed.clip_gradient,
              (loss(1.51f, none, 0) - loss(1.49f, none, 0)) / 0.02, 1e-3);
  for (uint32_t i = 0; i < none; ++i) {
    EXPECT_NEAR(passed.x.gradients[i],
                (loss(1.5f, i, 0.01f) - loss(1.5f, i, -0.01f)) / 0.02, 1e-3);
  }
}

Passed PassHwgq(const std::vector<float>& inputs, uint32_t bits,
                ActivationQuantization::Backward backward) {
  return Pass(inputs, [&](const at::Tensor& x) {
    return HwgqActivation(x, bits, backward);
  });
}

TEST(HwgqActivation, TheAuthorsLevels) {
  const float delta = 0.538f;
  EXPECT_EQ(PassHwgq({-1, 0, 0.1f, 0.80f, 0.82f, 1.34f, 1.35f, 5}, 2,
                     ActivationQuantization::CLIPPED)
                .outputs,
            (std::vector<float>{0, 0, delta, delta, 2 * delta, 2 * delta,
                                3 * delta, 3 * delta}));
  EXPECT_EQ(
      PassHwgq({-kTiny, -0.f, kTiny, 100}, 1, ActivationQuantization::CLIPPED)
          .outputs,
      (std::vector<float>{0, 0, 0.79788456f, 0.79788456f}));
}

// The mean squared error of the levels over the positive half of N(0, 1), times
// two halves; the paper's levels are the best there are.
TEST(HwgqActivation, TheLevelsFitTheNormalDistribution) {
  const double published[] = {0.0432, 0.0102, 0.00251};
  for (const uint32_t bits : {2, 3, 4}) {
    std::vector<float> inputs;
    for (int i = 1; i < 60000; ++i)
      inputs.push_back(static_cast<float>(i) / 1e4f);
    const std::vector<float> outputs =
        PassHwgq(inputs, bits, ActivationQuantization::VANILLA).outputs;
    double error = 0;
    for (size_t i = 0; i < inputs.size(); ++i) {
      const double x = inputs[i];
      error += 1e-4 * std::exp(-x * x / 2) / std::sqrt(2 * M_PI) *
               (x - outputs[i]) * (x - outputs[i]);
    }
    EXPECT_NEAR(error, published[bits - 2], 0.03 * published[bits - 2]) << bits;
  }
}

TEST(HwgqActivation, BackwardHasThreeForms) {
  const float q = 3 * 0.538f;
  const float above = std::nextafter(q, 2.f);
  const std::vector<float> inputs = {-1, -0.f, 0.f, kTiny, 0.5f, q, above, 3};
  EXPECT_EQ(PassHwgq(inputs, 2, ActivationQuantization::CLIPPED).gradients,
            (std::vector<float>{0, 0, 0, 4, 5, 6, 0, 0}));
  EXPECT_EQ(PassHwgq(inputs, 2, ActivationQuantization::VANILLA).gradients,
            (std::vector<float>{0, 0, 0, 4, 5, 6, 7, 8}));
  const std::vector<float> tailed =
      PassHwgq(inputs, 2, ActivationQuantization::LOG_TAILED).gradients;
  EXPECT_EQ(std::vector<float>(tailed.begin(), tailed.begin() + 6),
            (std::vector<float>{0, 0, 0, 4, 5, 6}));
  EXPECT_NEAR(tailed[6], 7, 1e-5);
  EXPECT_NEAR(tailed[7], 8 / (3 - q + 1), 1e-5);
}

TEST(UniformActivation, HalvesGoUpAndTheEndsPass) {
  const auto three_bits = [](const at::Tensor& x) {
    return UniformActivation(x, 3, 3);
  };
  const float above = std::nextafter(3.f, 4.f);
  const Passed passed =
      Pass({-9, -3, -2.5f, -0.5f, 0, 0.5f, 2.4f, 3, above}, three_bits);
  EXPECT_EQ(passed.outputs, (std::vector<float>{-3, -3, -2, 0, 0, 1, 2, 3, 3}));
  EXPECT_EQ(passed.gradients, (std::vector<float>{0, 2, 3, 4, 5, 6, 7, 8, 0}));
}

TEST(Magnitudes, AreTheMeansOfWhatAWindowSees) {
  // Two channels of 3x3, a window of 3x3 with a border of zeros.
  at::Tensor x = at::arange(18, at::TensorOptions(at::kFloat))
                     .sub(9)
                     .reshape({1, 2, 3, 3});
  const at::Tensor k = WindowMagnitudes(x, 3, 2, 1);
  ASSERT_EQ(k.sizes(), (at::IntArrayRef{1, 1, 2, 2}));
  const float* from = x.data_ptr<float>();
  for (int64_t i = 0; i < 2; ++i) {
    for (int64_t j = 0; j < 2; ++j) {
      double sum = 0;
      for (int64_t y = 2 * i - 1; y <= 2 * i + 1; ++y) {
        for (int64_t z = 2 * j - 1; z <= 2 * j + 1; ++z) {
          if (y < 0 || y > 2 || z < 0 || z > 2) continue;
          sum +=
              (std::abs(from[3 * y + z]) + std::abs(from[9 + 3 * y + z])) / 2;
        }
      }
      EXPECT_FLOAT_EQ(k[0][0][i][j].item<float>(), static_cast<float>(sum / 9));
    }
  }
  EXPECT_FLOAT_EQ(SampleMagnitudes(x).item<float>(), 81.f / 18);
}

// A border wider than half of the window, which pools refuse.
TEST(Magnitudes, TakeAnyPadding) {
  const at::Tensor x = at::ones({1, 1, 2, 2});
  const at::Tensor k = WindowMagnitudes(x, 1, 1, 1);
  EXPECT_EQ(k.sizes(), (at::IntArrayRef{1, 1, 4, 4}));
  EXPECT_EQ(k.sum().item<float>(), 4);
}

}  // namespace
}  // namespace terse
