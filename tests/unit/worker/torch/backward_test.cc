#include "worker/torch/backward.h"

#include <ATen/Functions.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "common/base/random.h"

namespace terse {
namespace {

at::Tensor Random(at::IntArrayRef sizes, uint64_t key) {
  at::Tensor tensor = at::empty(sizes);
  float* to = tensor.data_ptr<float>();
  for (int64_t i = 0; i < tensor.numel(); ++i) {
    to[i] = 2 * RandomUnit(key, static_cast<uint64_t>(i)) - 1;
  }
  return tensor;
}

TEST(LargestMagnitudes, TiesGoToTheFirstAndNanToTheTop) {
  const float nan = std::nanf("");
  const float infinity = std::numeric_limits<float>::infinity();
  using Indices = std::vector<int64_t>;
  EXPECT_EQ(LargestMagnitudes(std::vector<float>{1, -3, 2}, 2),
            (Indices{1, 2}));
  EXPECT_EQ(LargestMagnitudes(std::vector<float>{2, -2, 1, 2, -2}, 3),
            (Indices{0, 1, 3}));
  EXPECT_EQ(LargestMagnitudes(std::vector<float>{0, 0, 0, 0}, 2),
            (Indices{0, 1}));
  EXPECT_EQ(LargestMagnitudes(std::vector<float>{5, nan, infinity, -nan}, 2),
            (Indices{1, 3}));
  EXPECT_EQ(LargestMagnitudes(std::vector<float>{5, infinity}, 0), Indices{});
  EXPECT_EQ(LargestMagnitudes(std::vector<float>{5, 6}, 2), (Indices{0, 1}));
}

struct Gradients {
  at::Tensor y, x, weight, bias;
};

struct LinearCase {
  at::Tensor x = Random({6, 9}, 1).set_requires_grad(true);
  at::Tensor weight = Random({40, 9}, 2).set_requires_grad(true);
  at::Tensor bias = Random({40}, 3).set_requires_grad(true);
  at::Tensor upstream = Random({6, 40}, 4);

  Gradients Take(const at::Tensor& y) {
    y.backward(upstream);
    Gradients taken = {y.detach(), x.grad(), weight.grad(), bias.grad()};
    for (at::Tensor* leaf : {&x, &weight, &bias}) leaf->mutable_grad().reset();
    return taken;
  }
};

// The formulas of the paper with the mask written out.
Gradients Expected(const LinearCase& test, const at::Tensor& mask) {
  const at::Tensor active = at::mul(test.upstream, mask);
  return {at::linear(test.x, test.weight, test.bias).detach(),
          at::mm(active, test.weight).detach(),
          at::mm(active.t(), test.x).detach(), test.upstream.sum(0)};
}

void ExpectNear(const Gradients& a, const Gradients& b) {
  EXPECT_TRUE(at::allclose(a.y, b.y, 1e-5, 1e-6));
  EXPECT_TRUE(at::allclose(a.x, b.x, 1e-4, 1e-5));
  EXPECT_TRUE(at::allclose(a.weight, b.weight, 1e-4, 1e-5));
  EXPECT_TRUE(at::allclose(a.bias, b.bias, 1e-5, 1e-6));
}

int64_t NonZeroRows(const at::Tensor& weight) {
  return weight.flatten(1).abs().sum(1).gt(0).sum().item<int64_t>();
}

TEST(KeepingLinear, PassesTheLargestOfEachSample) {
  LinearCase test;
  // The few are added one by one, the many as a product.
  for (const int64_t count : {1, 2, 30}) {
    at::Tensor mask = at::zeros({6, 40});
    for (int64_t s = 0; s < 6; ++s) {
      const float* row = test.upstream.data_ptr<float>() + 40 * s;
      for (const int64_t o : LargestMagnitudes({row, 40}, count)) {
        mask.select(0, s).select(0, o).fill_(1);
      }
    }
    at::Tensor memory;
    ExpectNear(test.Take(KeepingLinear(test.x, test.weight, test.bias,
                                       {count, false}, &memory)),
               Expected(test, mask));
  }
}

TEST(KeepingLinear, UnifiedPassesTheSameOfAllSamples) {
  LinearCase test;
  for (const int64_t count : {1, 3, 39}) {
    const at::Tensor sums = test.upstream.abs().sum(0);
    at::Tensor mask = at::zeros({6, 40});
    for (const int64_t o :
         LargestMagnitudes({sums.data_ptr<float>(), 40}, count)) {
      mask.select(1, o).fill_(1);
    }
    at::Tensor memory = at::full({40, 9}, 7.f);
    const float* const address = memory.data_ptr<float>();
    const Gradients taken = test.Take(
        KeepingLinear(test.x, test.weight, test.bias, {count, true}, &memory));
    ExpectNear(taken, Expected(test, mask));
    EXPECT_EQ(NonZeroRows(taken.weight), count);
    EXPECT_EQ(taken.weight.data_ptr<float>(), address) << "was copied";
  }
}

TEST(KeepingLinear, OneSampleIsItsOwnMiniBatch) {
  const auto weight_gradient = [](bool unified) {
    at::Tensor x = Random({1, 9}, 1);
    at::Tensor weight = Random({40, 9}, 2).set_requires_grad(true);
    at::Tensor memory;
    KeepingLinear(x, weight, c10::nullopt, {5, unified}, &memory)
        .backward(Random({1, 40}, 4));
    return weight.grad();
  };
  EXPECT_TRUE(at::allclose(weight_gradient(false), weight_gradient(true)));
}

// The more is kept, the nearer is the direction of the full gradient.
TEST(KeepingLinear, TheCosineRisesWithTheCount) {
  LinearCase test;
  const at::Tensor full =
      test.Take(at::linear(test.x, test.weight, test.bias)).weight.flatten();
  for (const bool unified : {false, true}) {
    double last = 0;
    for (const int64_t count : {1, 4, 12, 25, 39}) {
      at::Tensor memory;
      const at::Tensor gradient =
          test.Take(KeepingLinear(test.x, test.weight, test.bias,
                                  {count, unified}, &memory))
              .weight.flatten();
      const double cosine =
          at::dot(gradient, full).item<double>() /
          (gradient.norm().item<double>() * full.norm().item<double>());
      EXPECT_GT(cosine, last) << count;
      last = cosine;
    }
    EXPECT_GT(last, 0.99);
    EXPECT_LE(last, 1 + 1e-6);
  }
}

// Against torch's convolution with the mask in front of its backward.
TEST(KeepingConv, IsAConvolutionOfTheMaskedGradient) {
  for (const bool unified : {false, true}) {
    at::Tensor x = Random({3, 2, 7, 7}, 1).set_requires_grad(true);
    at::Tensor weight = Random({8, 2, 3, 3}, 2).set_requires_grad(true);
    at::Tensor bias = Random({8}, 3).set_requires_grad(true);
    const at::Tensor upstream = Random({3, 8, 4, 4}, 4);
    constexpr int64_t kCount = 3;
    const at::Tensor scores = upstream.abs().flatten(2).sum(2).contiguous();
    const at::Tensor sums = scores.sum(0);
    at::Tensor mask = at::zeros({3, 8, 1, 1});
    for (int64_t s = 0; s < 3; ++s) {
      const float* from =
          unified ? sums.data_ptr<float>() : scores.data_ptr<float>() + 8 * s;
      for (const int64_t o : LargestMagnitudes({from, 8}, kCount)) {
        mask.select(0, s).select(0, o).fill_(1);
      }
    }
    const at::Tensor y = at::conv2d(x, weight, bias, 2, 1);
    y.backward(at::mul(upstream, mask));
    const at::Tensor of_x = x.grad(), of_weight = weight.grad();
    for (at::Tensor* leaf : {&x, &weight, &bias}) leaf->mutable_grad().reset();

    const at::Tensor kept =
        KeepingConv(x, weight, bias, 2, 1, {kCount, unified});
    EXPECT_TRUE(at::equal(kept, y));
    kept.backward(upstream);
    EXPECT_TRUE(at::allclose(x.grad(), of_x, 1e-4, 1e-5));
    EXPECT_TRUE(at::allclose(weight.grad(), of_weight, 1e-4, 1e-5));
    EXPECT_TRUE(at::allclose(bias.grad(), upstream.sum({0, 2, 3}), 1e-5, 1e-5));
    if (unified) {
      EXPECT_EQ(NonZeroRows(weight.grad()), kCount);
    }
  }
}

at::Tensor Quantized(const at::Tensor& gradient, uint32_t bits, uint64_t key) {
  at::Tensor x = at::ones_like(gradient).set_requires_grad(true);
  const at::Tensor y = QuantizeGradient(x, bits, key);
  EXPECT_TRUE(at::equal(y, x));
  y.backward(gradient);
  return x.grad();
}

TEST(QuantizeGradient, LevelsAreEqualStepsOfTheSamplesMaximum) {
  const at::Tensor gradient = Random({5, 3, 4}, 8).mul(7);
  for (const uint32_t bits : {1, 2, 4, 8}) {
    const double steps = (1 << bits) - 1;
    const at::Tensor quantized = Quantized(gradient, bits, 12);
    for (int64_t s = 0; s < 5; ++s) {
      const double max = gradient[s].abs().max().item<double>();
      EXPECT_FLOAT_EQ(quantized[s].abs().max().item<float>(),
                      static_cast<float>(max));
      for (int64_t i = 0; i < 12; ++i) {
        const double v = quantized[s].flatten()[i].item<double>();
        const double code = (v / max + 1) / 2 * steps;
        EXPECT_NEAR(code, std::round(code), 1e-3);
        EXPECT_LE(std::abs(v - gradient[s].flatten()[i].item<double>()),
                  2 * max / steps * 1.001);
      }
    }
    EXPECT_TRUE(at::equal(quantized, Quantized(gradient, bits, 12)));
    EXPECT_FALSE(at::equal(quantized, Quantized(gradient, bits, 13)));
  }
}

TEST(QuantizeGradient, HasNoBias) {
  const at::Tensor gradient = Random({1, 64}, 3);
  const double max = gradient.abs().max().item<double>();
  constexpr int kDraws = 4096;
  for (const uint32_t bits : {1, 2, 4}) {
    at::Tensor sum = at::zeros({1, 64}, at::TensorOptions(at::kDouble));
    for (uint64_t draw = 0; draw < kDraws; ++draw) {
      sum.add_(Quantized(gradient, bits, MixKey({draw})));
    }
    const double step = 2 * max / ((1 << bits) - 1);
    for (int64_t i = 0; i < 64; ++i) {
      const double value = gradient[0][i].item<double>();
      const double place = (value + max) / step;
      const double fraction = place - std::floor(place);
      const double deviation =
          step * std::sqrt(fraction * (1 - fraction) / kDraws);
      EXPECT_NEAR(sum[0][i].item<double>() / kDraws, value,
                  5 * deviation + 1e-6 * max);
    }
  }
}

// As in a network: each layer's gradient is rounded again, from what the
// rounded one of the layer behind it gives.
TEST(QuantizeGradient, HiddenLayersTakeTheRoundedGradientsOfThoseBehind) {
  at::Tensor x = Random({6, 9}, 1).set_requires_grad(true);
  at::Tensor first = Random({20, 9}, 2).set_requires_grad(true);
  at::Tensor second = Random({10, 20}, 3).set_requires_grad(true);
  const at::Tensor upstream = Random({6, 10}, 4);
  const at::Tensor y = QuantizeGradient(at::linear(x, first), 3, 11);
  const at::Tensor hidden = at::relu(y);
  QuantizeGradient(at::linear(hidden, second), 2, 12).backward(upstream);

  const at::Tensor behind = Quantized(upstream, 2, 12);
  const at::Tensor active = at::mm(behind, second).mul(y.gt(0)).detach();
  const at::Tensor front = Quantized(active, 3, 11);
  EXPECT_TRUE(at::allclose(second.grad(), at::mm(behind.t(), hidden)));
  EXPECT_TRUE(at::allclose(first.grad(), at::mm(front.t(), x)));
  EXPECT_TRUE(at::allclose(x.grad(), at::mm(front, first)));
}

TEST(QuantizeGradient, ASampleOfZerosStaysZeros) {
  at::Tensor gradient = Random({2, 5}, 3);
  gradient[0].zero_();
  const at::Tensor quantized = Quantized(gradient, 2, 1);
  EXPECT_EQ(quantized[0].abs().max().item<float>(), 0);
  EXPECT_GT(quantized[1].abs().max().item<float>(), 0);
}

}  // namespace
}  // namespace terse
