#include "common/plan/spec_builder.h"

#include <limits>

#include "absl/strings/str_join.h"
#include "common/base/status.h"
#include "common/plan/layer_options.h"

namespace terse {

std::string ShapeText(const Shape& shape) {
  return absl::StrCat("[", absl::StrJoin(shape, ", "), "]");
}

uint64_t SaturatedProduct(std::initializer_list<uint64_t> factors) {
  uint64_t product = 1;
  for (const uint64_t factor : factors) {
    if (__builtin_mul_overflow(product, factor, &product)) {
      return std::numeric_limits<uint64_t>::max();
    }
  }
  return product;
}

SpecBuilder::SpecBuilder(const DataShape& data, const Job& job)
    : quantize_(job.quantize()),
      text_(job.data().kind() == Data::TEXT),
      shape_(data.sample) {
  spec_.input = data.sample;
  spec_.classes = data.classes;
  spec_.predictions = data.predictions;
  spec_.loss = job.model().loss();
}

absl::Status SpecBuilder::Add(const Layer& layer, const std::string& path,
                              const Layer* next) {
  if (layer.has_residual()) return AddResidual(layer.residual(), path);
  Start(path, value_);
  TERSE_RETURN_IF_ERROR(AddKind(layer, next));
  TERSE_RETURN_IF_ERROR(Scale(layer));
  return Finish();
}

void SpecBuilder::Start(const std::string& path, uint32_t value) {
  const Shape& shape =
      value == 0 ? spec_.input : spec_.layers[value - 1].output;
  layer_ = LayerSpec{.input = shape, .source = value};
  shape_ = shape;
  path_ = path;
}

absl::Status SpecBuilder::Finish() {
  if (ElementCount(layer_.output) > kElementsMax) {
    return Error(
        absl::StrCat("its output ", ShapeText(layer_.output), " is too large"));
  }
  if (spec_.tensors.size() > kTensorsMax) {
    return Error(
        absl::StrCat("the model has more than ", kTensorsMax, " tensors"));
  }
  shape_ = layer_.output;
  spec_.layers.push_back(std::move(layer_));
  value_ = static_cast<uint32_t>(spec_.layers.size());
  return absl::OkStatus();
}

absl::Status SpecBuilder::Scale(const Layer& layer) {
  if (layer_.kind == LayerSpec::Kind::kActivation) {
    const ActivationQuantization& options = layer_.quantization;
    if (!unscaled_.empty()) return UnscaledError();
    if (options.kind() == ActivationQuantization::XNOR &&
        options.input_scale()) {
      if (shape_.size() == 2) {
        return Error(
            "kind xnor has no input scale for sequences; set "
            "input_scale: false");
      }
      unscaled_ = layer_.name;
      magnitudes_ = layer_.source;
    }
  } else if (!unscaled_.empty() && (layer.has_linear() || layer.has_conv())) {
    layer_.magnitudes = magnitudes_;
    unscaled_.clear();
  } else if (!unscaled_.empty() && !layer.has_dropout()) {
    return UnscaledError();
  }
  return absl::OkStatus();
}

absl::Status SpecBuilder::UnscaledError() const {
  return Error(absl::StrCat(
      unscaled_, " has activations of kind xnor, whose input scale needs a ",
      "linear or convolution layer right behind it; move the pool in front ",
      "of it or set input_scale: false"));
}

absl::Status SpecBuilder::AddResidual(const Residual& residual,
                                      const std::string& path) {
  const uint32_t input = value_;
  layer_ = LayerSpec();
  path_ = path;
  if (!unscaled_.empty()) return UnscaledError();
  if (residual.layers().empty()) return Error("the block has no layers");
  TERSE_RETURN_IF_ERROR(AddAll(residual.layers(), path + ".residual.layers"));
  const uint32_t output = value_;
  Start(path, input);
  const Shape from = shape_;
  const Shape to = spec_.layers[output - 1].output;
  uint32_t shortcut = input;
  if (residual.shortcut() == Residual::PROJECTION ||
      residual.shortcut() == Residual::PAD ||
      (residual.shortcut() == Residual::AUTO && from != to)) {
    TERSE_RETURN_IF_ERROR(
        AddShortcut(to, residual.shortcut() == Residual::PAD, input, path));
    shortcut = value_;
  } else if (from != to) {
    return Error(absl::StrCat("its output ", ShapeText(to), " and its input ",
                              ShapeText(from),
                              " differ: an identity does not fit"));
  }
  Start(path, output);
  Name(LayerSpec::Kind::kAdd, "add", counters_.additions);
  layer_.addend = shortcut;
  layer_.output = to;
  return Finish();
}

absl::Status SpecBuilder::AddShortcut(const Shape& to, bool pad, uint32_t input,
                                      const std::string& path) {
  Start(path, input);
  TERSE_ASSIGN_OR_RETURN(const uint32_t stride, ShortcutStride(to));
  if (pad) {
    if (to[0] < shape_[0]) {
      return Error("a shortcut that pads cannot take channels away");
    }
    Name(LayerSpec::Kind::kSubsample, "shortcut", counters_.shortcuts);
    layer_.stride = stride;
    layer_.output = to;
    return Finish();
  }
  Conv conv;
  conv.set_filters(static_cast<uint32_t>(to[0]));
  conv.set_kernel(1);
  conv.set_stride(stride);
  TERSE_RETURN_IF_ERROR(
      AddConv(conv, /*bias=*/false, "shortcut", counters_.shortcuts));
  TERSE_RETURN_IF_ERROR(Finish());
  Start(path, value_);
  TERSE_RETURN_IF_ERROR(AddBatchNorm(BatchNorm(), /*next=*/nullptr));
  return Finish();
}

absl::StatusOr<uint32_t> SpecBuilder::ShortcutStride(const Shape& to) const {
  if (shape_.size() == 3 && to.size() == 3) {
    const uint64_t stride = (shape_[1] + to[1] - 1) / to[1];
    if ((shape_[1] + stride - 1) / stride == to[1] &&
        (shape_[2] + stride - 1) / stride == to[2]) {
      return static_cast<uint32_t>(stride);
    }
  }
  return Error(absl::StrCat("no shortcut leads from its input ",
                            ShapeText(shape_), " to its output ",
                            ShapeText(to)));
}

absl::Status SpecBuilder::AddKind(const Layer& layer, const Layer* next) {
  const bool bias = next == nullptr || !next->has_batch_norm();
  switch (layer.kind_case()) {
    case Layer::kConv:
      return AddConv(layer.conv(), bias, "conv", counters_.convolutions);
    case Layer::kLinear:
      return AddLinear(layer.linear(), bias);
    case Layer::kBatchNorm:
      return AddBatchNorm(layer.batch_norm(), next);
    case Layer::kActivation:
      AddActivation(layer.activation());
      return absl::OkStatus();
    case Layer::kMaxPool:
      return AddPool(layer.max_pool(), LayerSpec::Kind::kMaxPool);
    case Layer::kAveragePool:
      return AddPool(layer.average_pool(), LayerSpec::Kind::kAveragePool);
    case Layer::kDropout:
      Name(LayerSpec::Kind::kDropout, "drop", counters_.dropouts);
      layer_.probability = layer.dropout().probability();
      layer_.output = shape_;
      return absl::OkStatus();
    case Layer::kEmbedding:
      return AddEmbedding(layer.embedding());
    case Layer::kPosition:
      return AddPosition();
    case Layer::kLstm:
      return AddLstm(layer.lstm());
    case Layer::kAttention:
      return AddAttention(layer.attention());
    case Layer::kLayerNorm:
      return AddLayerNorm(layer.layer_norm());
    case Layer::kResidual:
    case Layer::KIND_NOT_SET:
      break;
  }
  return Error("the layer has no kind");
}

void SpecBuilder::AddActivation(const Activation& activation) {
  Name(LayerSpec::Kind::kActivation, "act", counters_.activations);
  layer_.activation = activation.kind();
  layer_.quantization = ActivationsOf(quantize_, layer_.name);
  layer_.output = shape_;
  if (layer_.quantization.kind() == ActivationQuantization::PACT) {
    layer_.clip = AddTensor("clip", {1}, TensorSpec::Role::kParameter,
                            layer_.quantization.initial_clip());
  }
}

absl::Status SpecBuilder::AddConv(const Conv& conv, bool bias,
                                  const char* prefix, int& counter) {
  Name(LayerSpec::Kind::kConv, prefix, counter);
  layer_.kernel = conv.kernel();
  layer_.stride = conv.stride();
  layer_.padding = conv.padding();
  TERSE_RETURN_IF_ERROR(SlideWindow(conv.filters()));
  const uint64_t area = uint64_t{conv.kernel()} * conv.kernel();
  const uint64_t channels = shape_[0];
  const Shape weight = {conv.filters(), channels, conv.kernel(), conv.kernel()};
  TERSE_RETURN_IF_ERROR(AddWeights(weight, SaturatedProduct({channels, area}),
                                   SaturatedProduct({conv.filters(), area}),
                                   conv.has_bias() ? conv.bias() : bias));
  layer_.multiply_adds = SaturatedProduct(
      {layer_.output[1], layer_.output[2], conv.filters(), channels, area});
  return CheckMultiplyAdds();
}

absl::Status SpecBuilder::AddLinear(const Linear& linear, bool bias) {
  Name(LayerSpec::Kind::kLinear, "fc", counters_.linears);
  if (linear.outputs() == 0) return Error("has no outputs");
  // At each position of a sequence by itself.
  const bool sequence = shape_.size() == 2;
  const uint64_t positions = sequence ? shape_[0] : 1;
  const uint64_t inputs = sequence ? shape_[1] : ElementCount(shape_);
  bias = linear.has_bias() ? linear.bias() : bias;
  layer_.output = {linear.outputs()};
  if (sequence) layer_.output.insert(layer_.output.begin(), positions);
  TERSE_RETURN_IF_ERROR(
      AddWeights({linear.outputs(), inputs}, inputs, linear.outputs(), bias));
  layer_.multiply_adds =
      SaturatedProduct({inputs + (bias ? 1 : 0), linear.outputs(), positions});
  return CheckMultiplyAdds();
}

absl::Status SpecBuilder::AddBatchNorm(const BatchNorm& options,
                                       const Layer* next) {
  Name(LayerSpec::Kind::kBatchNorm, "bn", counters_.batch_norms);
  if (shape_.size() == 2) {
    return Error("a sequence takes layer_norm in place of batch_norm");
  }
  layer_.epsilon = options.epsilon();
  layer_.momentum = options.momentum();
  layer_.output = shape_;
  const Shape shape = {shape_[0]};
  using Role = TensorSpec::Role;
  // HWGQ's levels fit what has mean 0 and variance 1: its paper's batch norm
  // has neither scale nor shift.
  const std::string next_activation =
      absl::StrCat("act", counters_.activations + 1);
  const bool feeds_hwgq = next != nullptr && next->has_activation() &&
                          ActivationsOf(quantize_, next_activation).kind() ==
                              ActivationQuantization::HWGQ;
  if (!feeds_hwgq) {
    layer_.weight = AddTensor("weight", shape, Role::kParameter, 1);
    layer_.bias = AddTensor("bias", shape, Role::kParameter, 0);
  }
  layer_.running_mean = AddTensor("running_mean", shape, Role::kBuffer, 0);
  layer_.running_var = AddTensor("running_var", shape, Role::kBuffer, 1);
  return absl::OkStatus();
}

absl::Status SpecBuilder::AddPool(const Pool& pool, LayerSpec::Kind kind) {
  Name(kind, "pool", counters_.pools);
  layer_.kernel = pool.size();
  layer_.stride = pool.stride() == 0 ? pool.size() : pool.stride();
  return SlideWindow(shape_[0]);
}

absl::Status SpecBuilder::SlideWindow(uint64_t channels) {
  if (shape_.size() != 3) {
    return Error(absl::StrCat(
        "needs a picture [channels, height, width], but its input is ",
        ShapeText(shape_)));
  }
  if (channels == 0 || layer_.kernel == 0 || layer_.stride == 0) {
    return Error("filters, kernel and stride must be at least 1");
  }
  layer_.output = {channels};
  for (int i : {1, 2}) {
    const uint64_t padded = shape_[i] + 2 * uint64_t{layer_.padding};
    if (layer_.kernel > padded) {
      return Error(absl::StrCat("its window of ", layer_.kernel, "x",
                                layer_.kernel, " is larger than its input ",
                                ShapeText(shape_),
                                layer_.padding > 0 ? " with padding" : ""));
    }
    layer_.output.push_back((padded - layer_.kernel) / layer_.stride + 1);
  }
  return absl::OkStatus();
}

absl::Status SpecBuilder::AddWeights(const Shape& shape, uint64_t fan_in,
                                     uint64_t fan_out, bool bias) {
  TERSE_ASSIGN_OR_RETURN(layer_.weight,
                         AddWeight("weight", shape, fan_in, fan_out));
  if (bias) {
    layer_.bias =
        AddTensor("bias", {shape[0]}, TensorSpec::Role::kParameter, 0);
  }
  return absl::OkStatus();
}

absl::StatusOr<uint32_t> SpecBuilder::AddWeight(const char* suffix,
                                                const Shape& shape,
                                                uint64_t fan_in,
                                                uint64_t fan_out) {
  if (ElementCount(shape) > kElementsMax) {
    return Error(absl::StrCat("its ", suffix, " ", ShapeText(shape),
                              " has more than ", kElementsMax, " elements"));
  }
  const uint32_t index = AddTensor(suffix, shape, TensorSpec::Role::kWeight, 0);
  spec_.tensors.back().fan_in = fan_in;
  spec_.tensors.back().fan_out = fan_out;
  return index;
}

uint32_t SpecBuilder::AddTensor(const char* suffix, const Shape& shape,
                                TensorSpec::Role role, float initial_value) {
  spec_.tensors.push_back({.name = absl::StrCat(layer_.name, ".", suffix),
                           .shape = shape,
                           .role = role,
                           .initial_value = initial_value});
  return static_cast<uint32_t>(spec_.tensors.size() - 1);
}

void SpecBuilder::Name(LayerSpec::Kind kind, const char* prefix, int& counter) {
  layer_.kind = kind;
  layer_.name = absl::StrCat(prefix, ++counter);
}

absl::Status SpecBuilder::CheckMultiplyAdds() const {
  constexpr uint64_t kMultiplyAddsMax = uint64_t{1} << 62;
  if (layer_.multiply_adds <= kMultiplyAddsMax) return absl::OkStatus();
  return Error("needs more than 2^62 multiply-adds a sample");
}

absl::Status SpecBuilder::Error(std::string_view text) const {
  const std::string name =
      layer_.name.empty() ? "" : absl::StrCat(" (", layer_.name, ")");
  return WithExitCode(
      absl::InvalidArgumentError(absl::StrCat(path_, name, ": ", ToAbsl(text))),
      ExitCode::kBadJob);
}

}  // namespace terse
