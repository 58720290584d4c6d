#include "worker/torch/functions.h"

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

// Against torch's own, which is another implementation.
TEST(BatchNormRows, AgreesWithTorch) {
  constexpr int64_t kRows = 13, kColumns = 37;
  const auto values = [](int64_t seed, at::IntArrayRef sizes) {
    at::Tensor x = at::arange(sizes[0] * (sizes.size() > 1 ? sizes[1] : 1),
                              at::TensorOptions(at::kFloat));
    return at::sin(x.mul(0.7 + double(seed))).mul(3).add(1).reshape(sizes);
  };
  std::vector<std::vector<at::Tensor>> results;
  for (const bool own : {false, true}) {
    at::Tensor x = values(1, {kRows, kColumns}).set_requires_grad(true);
    at::Tensor scale = values(2, {kColumns}).set_requires_grad(true);
    at::Tensor shift = values(3, {kColumns}).set_requires_grad(true);
    at::Tensor mean = values(4, {kColumns});
    at::Tensor var = values(5, {kColumns}).abs();
    const at::Tensor y =
        own ? BatchNormRows(x, scale, shift, mean, var, 0.3, 1e-3)
            : at::batch_norm(x, scale, shift, mean, var, true, 0.3, 1e-3,
                             false);
    y.backward(values(6, {kRows, kColumns}));
    results.push_back(
        {y.detach(), x.grad(), scale.grad(), shift.grad(), mean, var});
  }
  for (size_t i = 0; i < results[0].size(); ++i) {
    EXPECT_TRUE(at::allclose(results[1][i], results[0][i], 1e-4, 1e-5)) << i;
  }
}

TEST(Linear, AgreesWithTorchAndUsesTheGivenMemory) {
  for (const bool has_bias : {false, true}) {
    at::Tensor x = at::sin(at::arange(15, at::TensorOptions(at::kFloat)))
                       .reshape({3, 5})
                       .set_requires_grad(true);
    at::Tensor weight = at::cos(at::arange(20, at::TensorOptions(at::kFloat)))
                            .reshape({4, 5})
                            .set_requires_grad(true);
    at::Tensor bias = at::ones({4}).set_requires_grad(true);
    const auto optional =
        has_bias ? c10::optional<at::Tensor>(bias) : c10::nullopt;
    const at::Tensor upstream =
        at::arange(12, at::TensorOptions(at::kFloat)).reshape({3, 4});
    at::linear(x, weight, optional).backward(upstream);
    const at::Tensor x_expected = x.grad().clone();
    const at::Tensor expected = weight.grad().clone();
    x.mutable_grad().reset();
    weight.mutable_grad().reset();

    at::Tensor memory = at::empty({4, 5});
    const float* const address = memory.data_ptr<float>();
    Linear(x, weight, optional, &memory).backward(upstream);
    EXPECT_TRUE(at::allclose(x.grad(), x_expected));
    EXPECT_TRUE(at::allclose(weight.grad(), expected));
    EXPECT_EQ(weight.grad().data_ptr<float>(), address) << "was copied";
    EXPECT_FALSE(memory.defined());
  }
}

}  // namespace
}  // namespace terse
