// Gradients against finite differences of the loss, for every kind of layer.
#include <gtest/gtest.h>

#include "tests/unit/worker/torch/check_gradients.h"

namespace terse {
namespace {

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
