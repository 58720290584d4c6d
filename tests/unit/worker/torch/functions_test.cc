#include "worker/torch/functions.h"

#include <ATen/Functions.h>
#include <gtest/gtest.h>

#include <vector>

namespace terse {
namespace {

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

TEST(BatchNormRows, WithoutAffineIsThatOfScaleOneAndShiftZero) {
  const auto values = [](double factor, at::IntArrayRef sizes) {
    return at::sin(at::arange(12, at::TensorOptions(at::kFloat)).mul(factor))
        .reshape(sizes);
  };
  std::vector<at::Tensor> results;
  for (const bool affine : {false, true}) {
    const auto optional = [affine](float value) {
      return affine ? c10::optional<at::Tensor>(at::full({3}, value))
                    : c10::nullopt;
    };
    at::Tensor x = values(0.7, {4, 3}).set_requires_grad(true);
    const at::Tensor y = BatchNormRows(
        x, optional(1), optional(0), at::zeros({3}), at::ones({3}), 0.1, 1e-4);
    y.backward(values(1.3, {4, 3}));
    results.insert(results.end(), {y.detach(), x.grad()});
  }
  EXPECT_TRUE(at::equal(results[0], results[2]));
  EXPECT_TRUE(at::equal(results[1], results[3]));
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

TEST(Linear, TellsOfALargeGradientByRows) {
  const auto values = [](int64_t rows, int64_t columns, float step) {
    return at::sin(at::mul(at::arange(rows * columns,
                                      at::TensorOptions(at::kFloat)),
                           step))
        .reshape({rows, columns});
  };
  const at::Tensor x = values(8, 1024, 0.7f);
  const at::Tensor weight = values(2100, 1024, 0.3f).set_requires_grad(true);
  const at::Tensor upstream = values(8, 2100, 0.11f);
  std::vector<int64_t> told;
  at::Tensor memory;
  const at::Tensor expected = at::mm(upstream.t(), x);
  const RowsHook on_rows = [&](const at::Tensor& gradient, int64_t rows) {
    told.push_back(rows);
    EXPECT_TRUE(at::allclose(gradient.narrow(0, 0, rows),
                             expected.narrow(0, 0, rows), 1e-5, 1e-6));
  };
  Linear(x, weight, c10::nullopt, &memory, &on_rows).backward(upstream);
  EXPECT_EQ(told, (std::vector<int64_t>{1024, 2048, 2100}));
  EXPECT_TRUE(at::allclose(weight.grad(), expected, 1e-5, 1e-6));
}

}  // namespace
}  // namespace terse
