#include "worker/torch/network.h"

#include <ATen/Functions.h>

#include <algorithm>
#include <utility>

#include "common/base/random.h"
#include "common/base/status.h"
#include "worker/torch/functions.h"

namespace terse {
namespace {

std::vector<int64_t> Sizes(const Shape& shape) {
  return {shape.begin(), shape.end()};
}

// Zero with `probability`, else 1 / (1 - probability), so that the expectation
// of x * mask is x.
at::Tensor DropoutMask(const at::Tensor& x, float probability, uint64_t key) {
  at::Tensor mask = at::empty(x.sizes());
  float* to = mask.data_ptr<float>();
  const float kept = 1 / (1 - probability);
  const uint64_t count = static_cast<uint64_t>(mask.numel());
  // A run shares the key's high part, which leaves plain 32-bit arithmetic.
  constexpr uint64_t kRun = uint64_t{1} << 32;
  for (uint64_t first = 0; first < count; first += kRun) {
    const uint64_t run_key = first == 0 ? key : MixKey({key, first >> 32});
    const uint64_t run = std::min(kRun, count - first);
    for (uint64_t i = 0; i < run; ++i) {
      const float unit = RandomUnit(run_key, static_cast<uint32_t>(i));
      to[first + i] = unit < probability ? 0.f : kept;
    }
  }
  return mask;
}

}  // namespace

Network::Network(ModelSpec spec, ActivationQuantization activations)
    : spec_(std::move(spec)),
      activations_(std::move(activations)),
      weight_gradients_(spec_.tensors.size()) {
  for (const TensorSpec& tensor : spec_.tensors) {
    const bool weight = tensor.role == TensorSpec::Role::kWeight;
    tensors_.push_back(at::full(Sizes(tensor.shape),
                                weight ? 0.f : tensor.initial_value,
                                at::TensorOptions(at::kFloat)));
    tensors_.back().set_requires_grad(tensor.role != TensorSpec::Role::kBuffer);
  }
}

c10::optional<at::Tensor> Network::IfAny(std::optional<uint32_t> tensor) const {
  if (!tensor) return c10::nullopt;
  return tensors_[*tensor];
}

at::Tensor Network::TrainingForward(const at::Tensor& batch,
                                    const DropoutSource& dropout) {
  at::Tensor x = batch;
  for (size_t i = 0; i < spec_.layers.size(); ++i) {
    const LayerSpec& layer = spec_.layers[i];
    switch (layer.kind) {
      case LayerSpec::Kind::kBatchNorm:
        x = TrainingBatchNorm(layer, x);
        break;
      case LayerSpec::Kind::kDropout:
        if (layer.probability > 0) {
          const uint64_t key = DrawKey(
              Draw::kDropout, {dropout.seed, dropout.step, dropout.worker, i});
          x = at::mul(x, DropoutMask(x, layer.probability, key));
        }
        break;
      case LayerSpec::Kind::kLinear:
        x = Linear(x.flatten(1), tensors_[*layer.weight], IfAny(layer.bias),
                   &weight_gradients_[*layer.weight]);
        break;
      default:
        x = Layer(layer, x);
    }
  }
  return x;
}

at::Tensor Network::Forward(const at::Tensor& batch) const {
  at::Tensor x = batch;
  for (const LayerSpec& layer : spec_.layers) x = Layer(layer, x);
  return x;
}

at::Tensor Network::TrainingBatchNorm(const LayerSpec& layer,
                                      const at::Tensor& x) {
  const at::Tensor& scale = tensors_[*layer.weight];
  const at::Tensor& shift = tensors_[*layer.bias];
  at::Tensor& running_mean = tensors_[*layer.running_mean];
  at::Tensor& running_var = tensors_[*layer.running_var];
  if (x.dim() == 2) {
    return BatchNormRows(x, scale, shift, running_mean, running_var,
                         layer.momentum, layer.epsilon);
  }
  return at::batch_norm(x, scale, shift, running_mean, running_var,
                        /*training=*/true, layer.momentum, layer.epsilon,
                        /*cudnn_enabled=*/false);
}

at::Tensor Network::Layer(const LayerSpec& layer, const at::Tensor& x) const {
  switch (layer.kind) {
    case LayerSpec::Kind::kConv:
      return at::conv2d(x, tensors_[*layer.weight], IfAny(layer.bias),
                        int64_t{layer.stride}, int64_t{layer.padding});
    case LayerSpec::Kind::kLinear:
      return at::linear(x.flatten(1), tensors_[*layer.weight],
                        IfAny(layer.bias));
    case LayerSpec::Kind::kBatchNorm:
      return at::batch_norm(x, tensors_[*layer.weight], tensors_[*layer.bias],
                            tensors_[*layer.running_mean],
                            tensors_[*layer.running_var],
                            /*training=*/false, layer.momentum, layer.epsilon,
                            /*cudnn_enabled=*/false);
    case LayerSpec::Kind::kActivation:
      return Activate(layer, x);
    case LayerSpec::Kind::kMaxPool:
      return at::max_pool2d(x, int64_t{layer.kernel}, int64_t{layer.stride},
                            int64_t{layer.padding});
    case LayerSpec::Kind::kAveragePool:
      return at::avg_pool2d(x, int64_t{layer.kernel}, int64_t{layer.stride},
                            int64_t{layer.padding});
    case LayerSpec::Kind::kDropout:
      return x;
  }
  TERSE_CHECK(false);
}

at::Tensor Network::Activate(const LayerSpec& layer,
                             const at::Tensor& x) const {
  switch (activations_.kind()) {
    case ActivationQuantization::BNN:
      return BinarySign(x);
    case ActivationQuantization::DOREFA:
      return DorefaActivation(x, activations_.bits());
    case ActivationQuantization::NONE:
      break;
  }
  switch (layer.activation) {
    case Activation::RELU:
      return at::relu(x);
    case Activation::TANH:
      return at::tanh(x);
    case Activation::HARD_TANH:
      return at::hardtanh(x, -1, 1);
  }
  TERSE_CHECK(false);
}

}  // namespace terse
