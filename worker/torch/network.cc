#include "worker/torch/network.h"

#include <ATen/Functions.h>

#include <algorithm>
#include <utility>

#include "common/base/random.h"
#include "common/base/status.h"
#include "worker/torch/activations.h"
#include "worker/torch/backward.h"
#include "worker/torch/functions.h"
#include "worker/torch/sequence.h"

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
  return mask.to(x.device());
}

// Every stride-th pixel, and channels of zeros up to `channels`.
at::Tensor Subsample(const at::Tensor& x, int64_t stride, int64_t channels) {
  const at::Tensor fewer =
      x.slice(2, 0, x.size(2), stride).slice(3, 0, x.size(3), stride);
  return at::constant_pad_nd(fewer, {0, 0, 0, 0, 0, channels - x.size(1)});
}

// What a linear layer multiplies: samples x inputs, of sequences samples and
// positions x channels.
at::Tensor Rows(const at::Tensor& x) {
  return x.dim() == 3 ? x.reshape({-1, x.size(2)}) : x.flatten(1);
}

// The rows of a sequence as samples x positions x outputs again.
at::Tensor Unrows(const at::Tensor& y, const at::Tensor& x) {
  return x.dim() == 3 ? y.view({x.size(0), x.size(1), -1}) : y;
}

}  // namespace

Network::Network(ModelSpec spec, at::Device device)
    : spec_(std::move(spec)),
      last_users_(spec_.layers.size() + 1, spec_.layers.size()),
      weight_gradients_(spec_.tensors.size()) {
  for (const TensorSpec& tensor : spec_.tensors) {
    const bool weight = tensor.role == TensorSpec::Role::kWeight;
    tensors_.push_back(at::full(Sizes(tensor.shape),
                                weight ? 0.f : tensor.initial_value,
                                at::TensorOptions(at::kFloat).device(device)));
    tensors_.back().set_requires_grad(tensor.role != TensorSpec::Role::kBuffer);
  }
  for (size_t i = 0; i < spec_.layers.size(); ++i) {
    const LayerSpec& layer = spec_.layers[i];
    last_users_[layer.source] = i;
    if (layer.kind == LayerSpec::Kind::kAdd) last_users_[layer.addend] = i;
    if (layer.magnitudes) last_users_[*layer.magnitudes] = i;
  }
}

c10::optional<at::Tensor> Network::IfAny(std::optional<uint32_t> tensor) const {
  if (!tensor) return c10::nullopt;
  return tensors_[*tensor];
}

template <typename Function>
at::Tensor Network::RunLayers(const at::Tensor& batch, Function layer) const {
  Values values(spec_.layers.size() + 1);
  values[0] = batch;
  for (size_t i = 0; i < spec_.layers.size(); ++i) {
    values[i + 1] = layer(i, values);
    for (size_t v = 0; v <= i; ++v) {
      if (last_users_[v] == i) values[v].reset();
    }
  }
  return values.back();
}

at::Tensor Network::TrainingForward(const at::Tensor& batch, const Step& step) {
  return RunLayers(batch, [&](size_t index, const Values& values) {
    if (await_) AwaitLayer(spec_.layers[index]);
    return TrainingLayer(index, values, step);
  });
}

void Network::SetHooks(Hooks hooks) {
  await_ = std::move(hooks.await);
  on_rows_.clear();
  if (!hooks.on_rows) return;
  for (uint32_t t = 0; t < tensors_.size(); ++t) {
    on_rows_.push_back(
        [t, hook = hooks.on_rows](const at::Tensor& gradient, int64_t rows) {
          hook(t, gradient, rows);
        });
  }
}

void Network::AwaitLayer(const LayerSpec& layer) const {
  for (const auto& tensor : {layer.weight, layer.bias, layer.second_weight,
                             layer.second_bias, layer.clip}) {
    if (tensor) await_(*tensor);
  }
}

at::Tensor Network::Forward(const at::Tensor& batch) const {
  return RunLayers(batch, [&](size_t index, const Values& values) {
    return Layer(spec_.layers[index], values);
  });
}

at::Tensor Network::TrainingLayer(size_t index, const Values& values,
                                  const Step& step) {
  const LayerSpec& layer = spec_.layers[index];
  const at::Tensor& x = values[layer.source];
  switch (layer.kind) {
    case LayerSpec::Kind::kBatchNorm:
      return TrainingBatchNorm(layer, x);
    case LayerSpec::Kind::kDropout: {
      if (layer.probability == 0) return x;
      const uint64_t key =
          DrawKey(Draw::kDropout, {step.seed, step.step, step.worker, index});
      return at::mul(x, DropoutMask(x, layer.probability, key));
    }
    case LayerSpec::Kind::kConv:
    case LayerSpec::Kind::kLinear: {
      const at::Tensor y =
          Scaled(layer, TrainingProduct(index, x, step), values);
      if (layer.backward.kind() != BackwardQuantization::DOREFA ||
          step.epoch < layer.backward.full_epochs()) {
        return y;
      }
      return QuantizeGradient(y, layer.backward.bits(),
                              DrawKey(Draw::kActivation, {step.seed, step.step,
                                                          step.worker, index}));
    }
    default:
      return Layer(layer, values);
  }
}

// The product of a linear or convolution layer, with the bias unless it comes
// behind the scale.
at::Tensor Network::TrainingProduct(size_t index, const at::Tensor& x,
                                    const Step& step) {
  const LayerSpec& layer = spec_.layers[index];
  const at::Tensor& weight = tensors_[*layer.weight];
  const auto bias = layer.magnitudes ? c10::nullopt : IfAny(layer.bias);
  const bool keeps =
      layer.outputs_kept > 0 && step.epoch >= layer.backward.full_epochs();
  const KeptOutputs kept = {int64_t{layer.outputs_kept},
                            layer.backward.unified()};
  if (layer.kind == LayerSpec::Kind::kLinear) {
    at::Tensor* gradient = &weight_gradients_[*layer.weight];
    const RowsHook* on_rows =
        on_rows_.empty() ? nullptr : &on_rows_[*layer.weight];
    return Unrows(keeps ? KeepingLinear(Rows(x), weight, bias, kept, gradient)
                        : Linear(Rows(x), weight, bias, gradient, on_rows),
                  x);
  }
  const int64_t stride = layer.stride, padding = layer.padding;
  return keeps ? KeepingConv(x, weight, bias, stride, padding, kept)
               : at::conv2d(x, weight, bias, stride, padding);
}

// XNOR-Net's scale, and the bias behind it.
at::Tensor Network::Scaled(const LayerSpec& layer, const at::Tensor& product,
                           const Values& values) const {
  if (!layer.magnitudes) return product;
  const at::Tensor& source = values[*layer.magnitudes];
  const bool conv = layer.kind == LayerSpec::Kind::kConv;
  const at::Tensor scaled = at::mul(
      product,
      conv ? WindowMagnitudes(source, layer.kernel, layer.stride, layer.padding)
           : SampleMagnitudes(source));
  if (!layer.bias) return scaled;
  const at::Tensor& bias = tensors_[*layer.bias];
  return at::add(scaled, conv ? bias.view({-1, 1, 1}) : bias);
}

at::Tensor Network::TrainingBatchNorm(const LayerSpec& layer,
                                      const at::Tensor& x) {
  const c10::optional<at::Tensor> scale = IfAny(layer.weight);
  const c10::optional<at::Tensor> shift = IfAny(layer.bias);
  at::Tensor& running_mean = tensors_[*layer.running_mean];
  at::Tensor& running_var = tensors_[*layer.running_var];
  if (x.dim() == 2 && x.is_cpu()) {
    return BatchNormRows(x, scale, shift, running_mean, running_var,
                         layer.momentum, layer.epsilon);
  }
  return at::batch_norm(x, scale, shift, running_mean, running_var,
                        /*training=*/true, layer.momentum, layer.epsilon,
                        /*cudnn_enabled=*/false);
}

at::Tensor Network::Layer(const LayerSpec& layer, const Values& values) const {
  const at::Tensor& x = values[layer.source];
  const auto bias = layer.magnitudes ? c10::nullopt : IfAny(layer.bias);
  switch (layer.kind) {
    case LayerSpec::Kind::kConv:
      return Scaled(layer,
                    at::conv2d(x, tensors_[*layer.weight], bias,
                               int64_t{layer.stride}, int64_t{layer.padding}),
                    values);
    case LayerSpec::Kind::kLinear:
      return Scaled(
          layer, Unrows(at::linear(Rows(x), tensors_[*layer.weight], bias), x),
          values);
    case LayerSpec::Kind::kBatchNorm:
      return at::batch_norm(x, IfAny(layer.weight), IfAny(layer.bias),
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
    case LayerSpec::Kind::kSubsample:
      return Subsample(x, layer.stride, static_cast<int64_t>(layer.output[0]));
    case LayerSpec::Kind::kAdd:
      return at::add(x, values[layer.addend]);
    case LayerSpec::Kind::kEmbedding:
      return Embed(x, tensors_[*layer.weight]);
    case LayerSpec::Kind::kPosition:
      return at::add(x, tensors_[*layer.weight]);
    case LayerSpec::Kind::kLstm:
      return Lstm(layer, x);
    case LayerSpec::Kind::kAttention:
      return Attention(layer, x);
    case LayerSpec::Kind::kLayerNorm:
      return at::layer_norm(x, {x.size(2)}, tensors_[*layer.weight],
                            tensors_[*layer.bias], layer.epsilon,
                            /*cudnn_enable=*/false);
  }
  TERSE_CHECK(false);
}

at::Tensor Network::Lstm(const LayerSpec& layer, const at::Tensor& x) const {
  const ActivationQuantization& options = layer.quantization;
  HiddenQuantizer quantizer;
  if (options.kind() != ActivationQuantization::NONE) {
    quantizer.apply = [this, &layer](const at::Tensor& state) {
      return QuantizedActivation(layer, state);
    };
    const bool uniform = options.kind() == ActivationQuantization::UNIFORM;
    const bool positive = options.kind() == ActivationQuantization::DOREFA;
    quantizer.high = uniform ? options.max() : 1;
    quantizer.low = positive ? 0 : -quantizer.high;
  }
  return LstmSequence(x,
                      {.input = tensors_[*layer.weight],
                       .hidden = tensors_[*layer.second_weight],
                       .bias = tensors_[*layer.bias],
                       .forget_bias = layer.forget_bias},
                      quantizer);
}

at::Tensor Network::Attention(const LayerSpec& layer,
                              const at::Tensor& x) const {
  return CausalAttention(x,
                         {.qkv = tensors_[*layer.weight],
                          .qkv_bias = tensors_[*layer.bias],
                          .output = tensors_[*layer.second_weight],
                          .output_bias = tensors_[*layer.second_bias]},
                         layer.heads);
}

at::Tensor Network::Activate(const LayerSpec& layer,
                             const at::Tensor& x) const {
  if (layer.quantization.kind() != ActivationQuantization::NONE) {
    return QuantizedActivation(layer, x);
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

// Requires: the layer's activations are of a kind.
at::Tensor Network::QuantizedActivation(const LayerSpec& layer,
                                        const at::Tensor& x) const {
  const ActivationQuantization& options = layer.quantization;
  switch (options.kind()) {
    case ActivationQuantization::BNN:
    case ActivationQuantization::XNOR:
      return BinarySign(x);
    case ActivationQuantization::DOREFA:
      return DorefaActivation(x, options.bits());
    case ActivationQuantization::PACT:
      return PactActivation(x, tensors_[*layer.clip], options.bits(),
                            options.clip_decay());
    case ActivationQuantization::HWGQ:
      return HwgqActivation(x, options.bits(), options.backward());
    case ActivationQuantization::UNIFORM:
      return UniformActivation(x, options.bits(), options.max());
    case ActivationQuantization::SYMMETRIC:
      return SymmetricActivation(x, options.bits());
    case ActivationQuantization::NONE:
      break;
  }
  TERSE_CHECK(false);
}

}  // namespace terse
