// Gradients against finite differences of the loss, for every kind of layer.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <string>

#include "tests/unit/worker/torch/model_fixture.h"

namespace terse {
namespace {

double MeanLoss(const Fixture& fixture, uint64_t step) {
  const StepResult result = TakeStep(fixture, step);
  return result.loss.loss / static_cast<double>(result.loss.samples);
}

// Compares the gradient along random directions of each tensor, and along some
// of its elements, with central differences.
void CheckGradients(const Job& job, double distance = 4e-3,
                    const std::string& only = "") {
  const Fixture fixture = MakeFixture(job);
  constexpr uint64_t kStep = 3;
  const StepResult result = TakeStep(fixture, kStep);
  for (uint32_t t = 0; t < fixture.spec.tensors.size(); ++t) {
    const TensorSpec& tensor = fixture.spec.tensors[t];
    if (tensor.role == TensorSpec::Role::kBuffer) continue;
    if (tensor.name.find(only) != 0) continue;
    const std::span<float> values = fixture.model->Values(t);
    const std::vector<float>& gradient = result.gradients[t];
    ASSERT_EQ(gradient.size(), values.size()) << tensor.name;
    const std::vector<float> saved(values.begin(), values.end());
    for (uint64_t probe = 0; probe < 6; ++probe) {
      // Half of the probes move one element, half a third of them.
      const uint64_t key = MixKey({t, probe});
      std::vector<float> direction(values.size());
      for (size_t i = 0; i < direction.size(); ++i) {
        const bool moves = probe % 2 == 0 ? RandomBits(key, i) % 3 == 0
                                          : i == key % direction.size();
        if (moves) direction[i] = (RandomBits(key, i) & 8) ? 1.f : -1.f;
      }
      double length = 0;
      double expected = 0;
      for (size_t i = 0; i < direction.size(); ++i) {
        length += std::abs(direction[i]);
        expected += double{gradient[i]} * direction[i];
      }
      if (length == 0) continue;
      const auto step = static_cast<float>(distance / std::sqrt(length));
      const auto loss_at = [&](float distance) {
        for (size_t i = 0; i < saved.size(); ++i) {
          values[i] = saved[i] + distance * direction[i];
        }
        return MeanLoss(fixture, kStep);
      };
      const double difference =
          (loss_at(step) - loss_at(-step)) / (2.0 * double{step});
      std::copy(saved.begin(), saved.end(), values.begin());
      EXPECT_NEAR(difference, expected, 2e-3 + 0.01 * std::abs(expected))
          << tensor.name << ", probe " << probe;
    }
  }
}

void AddLinear(Job& job, uint32_t outputs) {
  job.mutable_model()->add_layers()->mutable_linear()->set_outputs(outputs);
}

void AddActivation(Job& job, Activation::Kind kind) {
  job.mutable_model()->add_layers()->mutable_activation()->set_kind(kind);
}

void AddConv(Job& job, uint32_t filters, uint32_t stride, uint32_t padding,
             bool bias) {
  Conv* conv = job.mutable_model()->add_layers()->mutable_conv();
  conv->set_filters(filters);
  conv->set_stride(stride);
  conv->set_padding(padding);
  conv->set_bias(bias);
}

TEST(Gradient, Linear) {
  Job job = SmallJob();
  AddLinear(job, 10);
  CheckGradients(job);
}

TEST(Gradient, Tanh) {
  Job job = SmallJob();
  AddLinear(job, 12);
  AddActivation(job, Activation::TANH);
  AddLinear(job, 10);
  CheckGradients(job);
}

TEST(Gradient, Relu) {
  Job job = SmallJob();
  AddLinear(job, 12);
  AddActivation(job, Activation::RELU);
  AddLinear(job, 10);
  CheckGradients(job);
}

TEST(Gradient, HardTanh) {
  Job job = SmallJob();
  AddLinear(job, 12);
  AddActivation(job, Activation::HARD_TANH);
  AddLinear(job, 10);
  CheckGradients(job);
}

TEST(Gradient, BatchNormOfRows) {
  Job job = SmallJob();
  AddLinear(job, 9);
  job.mutable_model()->add_layers()->mutable_batch_norm()->set_epsilon(0.01f);
  AddActivation(job, Activation::TANH);
  AddLinear(job, 10);
  job.mutable_model()->add_layers()->mutable_batch_norm();
  CheckGradients(job);
}

TEST(Gradient, Convolution) {
  for (const uint32_t stride : {1, 2}) {
    for (const bool bias : {false, true}) {
      Job job = SmallJob();
      AddConv(job, 4, stride, 1, bias);
      AddActivation(job, Activation::TANH);
      AddLinear(job, 10);
      CheckGradients(job);
    }
  }
}

TEST(Gradient, BatchNormOfPictures) {
  Job job = SmallJob();
  AddConv(job, 3, 1, 0, false);
  job.mutable_model()->add_layers()->mutable_batch_norm();
  AddActivation(job, Activation::TANH);
  AddLinear(job, 10);
  CheckGradients(job);
}

TEST(Gradient, Pools) {
  Job job = SmallJob();
  AddConv(job, 4, 1, 1, true);
  Layer* pool = job.mutable_model()->add_layers();
  pool->mutable_max_pool()->set_size(3);
  pool->mutable_max_pool()->set_stride(1);
  AddActivation(job, Activation::TANH);
  job.mutable_model()->add_layers()->mutable_average_pool()->set_size(2);
  AddLinear(job, 10);
  // A largest pixel that changes within the distance bends the loss.
  CheckGradients(job, 5e-4);
}

TEST(Gradient, DropoutWithTheSameMask) {
  Job job = SmallJob();
  AddLinear(job, 30);
  AddActivation(job, Activation::TANH);
  job.mutable_model()->add_layers()->mutable_dropout()->set_probability(0.4f);
  AddLinear(job, 10);
  CheckGradients(job);
}

Layer* AddResidual(Job& job, Residual::Shortcut shortcut) {
  Layer* layer = job.mutable_model()->add_layers();
  layer->mutable_residual()->set_shortcut(shortcut);
  return layer;
}

TEST(Gradient, ResidualWithEveryShortcut) {
  for (const auto shortcut :
       {Residual::AUTO, Residual::PAD, Residual::PROJECTION}) {
    for (const uint32_t stride : {1, 2}) {
      Job job = SmallJob();
      Residual* block = AddResidual(job, shortcut)->mutable_residual();
      Conv* conv = block->add_layers()->mutable_conv();
      conv->set_filters(3);
      conv->set_padding(1);
      conv->set_stride(stride);
      block->add_layers()->mutable_activation()->set_kind(Activation::TANH);
      AddActivation(job, Activation::TANH);
      AddLinear(job, 10);
      CheckGradients(job);
    }
  }
}

// 16 bits are nearly none: what is left is the clip and its gradient.
TEST(Gradient, PactOfManyBits) {
  Job job = SmallJob();
  ActivationQuantization& pact = *job.mutable_quantize()->mutable_activations();
  pact.set_kind(ActivationQuantization::PACT);
  pact.set_bits(16);
  pact.set_initial_clip(0.4f);
  pact.set_clip_decay(0);  // The penalty is not in the loss that is reported.
  AddLinear(job, 12);
  job.mutable_model()->add_layers()->mutable_activation();
  AddLinear(job, 10);
  CheckGradients(job, 2e-3);
}

// Behind the signs nothing of the first layer is differentiable; the magnitudes
// that scale the second are constants of its weights' gradients.
TEST(Gradient, XnorOfTheLayersBehindTheSigns) {
  Job job = SmallJob();
  job.mutable_quantize()->mutable_activations()->set_kind(
      ActivationQuantization::XNOR);
  job.mutable_model()->add_layers()->mutable_activation();
  AddConv(job, 4, 1, 1, true);
  job.mutable_model()->add_layers()->mutable_average_pool()->set_size(2);
  job.mutable_model()->add_layers()->mutable_activation();
  AddLinear(job, 10);
  const Fixture fixture = MakeFixture(job);
  EXPECT_TRUE(fixture.spec.layers[1].magnitudes.has_value());
  EXPECT_TRUE(fixture.spec.layers[4].magnitudes.has_value());
  // Of the last layer alone: in front of it there are signs.
  CheckGradients(job, 4e-3, "fc1");
}

TEST(Gradient, SquaredHinge) {
  Job job = SmallJob();
  job.mutable_model()->set_loss(Model::SQUARED_HINGE);
  AddLinear(job, 12);
  AddActivation(job, Activation::TANH);
  AddLinear(job, 10);
  CheckGradients(job);
}

}  // namespace
}  // namespace terse
