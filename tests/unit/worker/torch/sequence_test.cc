#include "worker/torch/sequence.h"

#include <ATen/Functions.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <vector>

#include "common/base/random.h"
#include "tests/unit/worker/torch/check_gradients.h"
#include "worker/torch/activations.h"

namespace terse {
namespace {

using Matrix = std::vector<std::vector<double>>;

at::Tensor Random(const std::vector<int64_t>& sizes, uint64_t key) {
  at::Tensor tensor = at::empty(sizes);
  for (int64_t i = 0; i < tensor.numel(); ++i) {
    tensor.data_ptr<float>()[i] =
        2 * RandomUnit(key, static_cast<uint64_t>(i)) - 1;
  }
  return tensor;
}

double At(const at::Tensor& tensor, const std::vector<int64_t>& place) {
  at::Tensor value = tensor;
  for (const int64_t index : place) value = value.select(0, index);
  return double{value.item<float>()};
}

double Sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

// One sample by the formulas of the textbook.
Matrix PlainLstm(const at::Tensor& x, const LstmWeights& weights,
                 const std::function<double(double)>& quantize) {
  const int64_t hidden = weights.hidden.size(1);
  std::vector<double> h(static_cast<size_t>(hidden)), c(h);
  Matrix states;
  for (int64_t t = 0; t < x.size(0); ++t) {
    const auto argument = [&](int64_t gate, int64_t unit) {
      const int64_t row = gate * hidden + unit;
      double sum = At(weights.bias, {row});
      for (int64_t i = 0; i < x.size(1); ++i) {
        sum += At(weights.input, {row, i}) * At(x, {t, i});
      }
      for (int64_t i = 0; i < hidden; ++i) {
        sum += At(weights.hidden, {row, i}) * h[static_cast<size_t>(i)];
      }
      return sum;
    };
    std::vector<double> next(h.size());
    for (int64_t j = 0; j < hidden; ++j) {
      const auto at = static_cast<size_t>(j);
      c[at] = Sigmoid(argument(1, j) + weights.forget_bias) * c[at] +
              Sigmoid(argument(0, j)) * std::tanh(argument(2, j));
      next[at] = quantize(Sigmoid(argument(3, j)) * std::tanh(c[at]));
    }
    h = next;
    states.push_back(h);
  }
  return states;
}

void CompareLstm(const HiddenQuantizer& quantizer,
                 const std::function<double(double)>& plain) {
  const at::Tensor x = Random({3, 5, 4}, 1);
  const LstmWeights weights = {.input = Random({24, 4}, 2),
                               .hidden = Random({24, 6}, 3),
                               .bias = Random({24}, 4),
                               .forget_bias = 0.75};
  const at::Tensor states = LstmSequence(x, weights, quantizer);
  ASSERT_EQ(states.sizes(), (at::IntArrayRef{3, 5, 6}));
  for (int64_t sample = 0; sample < 3; ++sample) {
    const Matrix expected = PlainLstm(x.select(0, sample), weights, plain);
    for (int64_t t = 0; t < 5; ++t) {
      for (int64_t j = 0; j < 6; ++j) {
        EXPECT_NEAR(At(states, {sample, t, j}),
                    expected[static_cast<size_t>(t)][static_cast<size_t>(j)],
                    1e-5)
            << sample << " " << t << " " << j;
      }
    }
  }
}

TEST(Lstm, StatesAreThoseOfTheFormula) {
  CompareLstm({}, [](double h) { return h; });
}

TEST(Lstm, QuantizedStatesEnterTheNextStep) {
  CompareLstm(
      {.apply = [](const at::Tensor& h) { return SymmetricActivation(h, 3); }},
      [](double h) { return std::nearbyint((h + 1) / 2 * 7) / 7 * 2 - 1; });
}

TEST(SymmetricActivation, HasItsLevelsAndPassesWithinThem) {
  at::Tensor x = at::empty({6});
  const float values[] = {-1.5f, -1, -0.4f, 0.1f, 0.7f, 1.01f};
  std::copy(values, values + 6, x.data_ptr<float>());
  x.set_requires_grad(true);
  const at::Tensor y = SymmetricActivation(x, 2);
  const float levels[] = {-1, -1, -1.f / 3, 1.f / 3, 1, 1};
  for (int64_t i = 0; i < 6; ++i) EXPECT_NEAR(At(y, {i}), levels[i], 1e-6);
  y.backward(at::ones({6}));
  const float passed[] = {0, 1, 1, 1, 1, 0};
  for (int64_t i = 0; i < 6; ++i) EXPECT_EQ(At(x.grad(), {i}), passed[i]);
}

TEST(Embedding, TakesTheRowsOfTheCharacters) {
  const at::Tensor table = Random({9, 4}, 1);
  at::Tensor x = at::empty({2, 3});
  for (int64_t i = 0; i < 6; ++i) {
    x.data_ptr<float>()[i] = static_cast<float>(i * 5 % 9);
  }
  const at::Tensor rows = Embed(x, table);
  ASSERT_EQ(rows.sizes(), (at::IntArrayRef{2, 3, 4}));
  for (int64_t i = 0; i < 6; ++i) {
    for (int64_t c = 0; c < 4; ++c) {
      EXPECT_EQ(At(rows, {i / 3, i % 3, c}), At(table, {i * 5 % 9, c}));
    }
  }
}

// By single sums, a position and a head at a time.
TEST(CausalAttention, IsTheFormula) {
  constexpr int64_t kPositions = 4, kWidth = 6, kHeads = 2, kHead = 3;
  const at::Tensor x = Random({2, kPositions, kWidth}, 1);
  const AttentionWeights weights = {.qkv = Random({3 * kWidth, kWidth}, 2),
                                    .qkv_bias = Random({3 * kWidth}, 3),
                                    .output = Random({kWidth, kWidth}, 4),
                                    .output_bias = Random({kWidth}, 5)};
  const at::Tensor y = CausalAttention(x, weights, kHeads);
  ASSERT_EQ(y.sizes(), x.sizes());
  for (int64_t sample = 0; sample < 2; ++sample) {
    const auto part = [&](int64_t which, int64_t t, int64_t channel) {
      const int64_t row = which * kWidth + channel;
      double sum = At(weights.qkv_bias, {row});
      for (int64_t i = 0; i < kWidth; ++i) {
        sum += At(weights.qkv, {row, i}) * At(x, {sample, t, i});
      }
      return sum;
    };
    for (int64_t t = 0; t < kPositions; ++t) {
      std::vector<double> read(kWidth);
      for (int64_t head = 0; head < kHeads; ++head) {
        std::vector<double> shares;
        double total = 0;
        for (int64_t s = 0; s <= t; ++s) {
          double score = 0;
          for (int64_t i = head * kHead; i < (head + 1) * kHead; ++i) {
            score += part(0, t, i) * part(1, s, i);
          }
          shares.push_back(std::exp(score / std::sqrt(double{kHead})));
          total += shares.back();
        }
        for (int64_t i = head * kHead; i < (head + 1) * kHead; ++i) {
          for (int64_t s = 0; s <= t; ++s) {
            read[static_cast<size_t>(i)] +=
                shares[static_cast<size_t>(s)] / total * part(2, s, i);
          }
        }
      }
      for (int64_t o = 0; o < kWidth; ++o) {
        double expected = At(weights.output_bias, {o});
        for (int64_t i = 0; i < kWidth; ++i) {
          expected += At(weights.output, {o, i}) * read[static_cast<size_t>(i)];
        }
        EXPECT_NEAR(At(y, {sample, t, o}), expected, 1e-5);
      }
    }
  }
}

Job LstmJob() {
  Job job = SmallTextJob();
  for (const uint32_t hidden : {7, 5}) {
    job.mutable_model()->add_layers()->mutable_lstm()->set_hidden(hidden);
  }
  job.mutable_model()->add_layers()->mutable_linear()->set_outputs(96);
  return job;
}

Job TransformerJob() {
  Job job = SmallTextJob();
  job.mutable_model()->add_layers()->mutable_position();
  Residual& first = *job.mutable_model()->add_layers()->mutable_residual();
  first.add_layers()->mutable_layer_norm();
  first.add_layers()->mutable_attention()->set_heads(2);
  Residual& second = *job.mutable_model()->add_layers()->mutable_residual();
  second.add_layers()->mutable_layer_norm();
  second.add_layers()->mutable_linear()->set_outputs(12);
  second.add_layers()->mutable_activation()->set_kind(Activation::TANH);
  second.add_layers()->mutable_dropout()->set_probability(0.2f);
  second.add_layers()->mutable_linear()->set_outputs(8);
  job.mutable_model()->add_layers()->mutable_layer_norm();
  job.mutable_model()->add_layers()->mutable_linear()->set_outputs(96);
  return job;
}

TEST(Gradient, Lstm) { CheckGradients(LstmJob()); }

TEST(Gradient, Transformer) { CheckGradients(TransformerJob()); }

// The gradient passes through levels that are nearly none.
TEST(Gradient, LstmWithHiddenStatesOfManyBits) {
  Job job = LstmJob();
  const StepResult plain = TakeStep(MakeFixture(job), 3);
  ActivationQuantization& hidden =
      *job.mutable_quantize()->mutable_activations();
  hidden.set_kind(ActivationQuantization::SYMMETRIC);
  hidden.set_bits(16);
  const StepResult quantized = TakeStep(MakeFixture(job), 3);
  ASSERT_EQ(plain.gradients.size(), quantized.gradients.size());
  EXPECT_NE(plain.loss.loss, quantized.loss.loss);
  for (size_t t = 0; t < plain.gradients.size(); ++t) {
    for (size_t i = 0; i < plain.gradients[t].size(); ++i) {
      ASSERT_NEAR(plain.gradients[t][i], quantized.gradients[t][i], 1e-4);
    }
  }
}

// All states are beyond so narrow a clip: the layers below learn nothing from
// them, the last one does.
TEST(Gradient, StopsAtTheClipOfHiddenStates) {
  Job job = LstmJob();
  ActivationQuantization& hidden =
      *job.mutable_quantize()->mutable_activations();
  hidden.set_kind(ActivationQuantization::UNIFORM);
  hidden.set_bits(4);
  hidden.set_max(1e-7f);
  const Fixture fixture = MakeFixture(job);
  const StepResult result = TakeStep(fixture, 3);
  for (uint32_t t = 0; t < fixture.spec.tensors.size(); ++t) {
    const std::string& name = fixture.spec.tensors[t].name;
    const bool last = t + 2 >= fixture.spec.tensors.size();
    double sum = 0;
    for (const float value : result.gradients[t]) sum += std::abs(value);
    if (last) {
      EXPECT_GT(sum, 0) << name;
    } else {
      EXPECT_EQ(sum, 0) << name;
    }
  }
}

TEST(TextModel, StepsAreFunctionsOfSeedStepAndWorker) {
  for (const Job& job : {LstmJob(), TransformerJob()}) {
    const StepResult first = TakeStep(MakeFixture(job), 5);
    EXPECT_EQ(first, TakeStep(MakeFixture(job), 5));
    EXPECT_NE(first.loss.loss, TakeStep(MakeFixture(job), 6).loss.loss);
    EXPECT_NE(first.loss.loss, TakeStep(MakeFixture(job, 1, 2), 5).loss.loss);
    // Mean losses of three samples of six characters.
    EXPECT_EQ(first.loss.samples, 3u);
    EXPECT_NEAR(first.loss.loss / 3, std::log(96), 1.5);
    EXPECT_LE(first.loss.correct, 18u);
  }
}

TEST(TextModel, AnEvaluationIsTheSumOfItsParts) {
  const Fixture fixture = MakeFixture(LstmJob());
  const uint64_t samples = fixture.model->test_samples();
  ASSERT_EQ(samples, 99u / 6);
  const auto whole = fixture.model->Evaluate(0, samples);
  const auto first = fixture.model->Evaluate(0, 5);
  const auto second = fixture.model->Evaluate(5, samples - 5);
  ASSERT_TRUE(whole.ok() && first.ok() && second.ok());
  EXPECT_NEAR(whole->loss, first->loss + second->loss, 1e-9);
  EXPECT_EQ(whole->correct, first->correct + second->correct);
  EXPECT_EQ(whole->samples, samples);
}

}  // namespace
}  // namespace terse
