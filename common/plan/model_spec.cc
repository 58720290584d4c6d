#include "common/plan/model_spec.h"

#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/limits.h"
#include "common/base/status.h"
#include "common/base/string_view.h"
#include "common/plan/layer_options.h"

namespace terse {
namespace {

// As many as a plan has room for: 2^42.
constexpr uint64_t kElementsMax = uint64_t{kBlocksMax} * kBlockElementsMax;

std::string ShapeText(const Shape& shape) {
  return absl::StrCat("[", absl::StrJoin(shape, ", "), "]");
}

// The product, or the largest number if it does not fit.
uint64_t SaturatedProduct(std::initializer_list<uint64_t> factors) {
  uint64_t product = 1;
  for (const uint64_t factor : factors) {
    if (__builtin_mul_overflow(product, factor, &product)) {
      return std::numeric_limits<uint64_t>::max();
    }
  }
  return product;
}

// The layers that an `mlp` stands for.
std::vector<Layer> ExpandMlp(const Mlp& mlp, uint32_t classes) {
  std::vector<Layer> layers;
  for (const uint32_t width : mlp.hidden()) {
    layers.emplace_back().mutable_linear()->set_outputs(width);
    if (mlp.batch_norm()) layers.emplace_back().mutable_batch_norm();
    layers.emplace_back().mutable_activation();
    if (mlp.dropout() > 0) {
      layers.emplace_back().mutable_dropout()->set_probability(mlp.dropout());
    }
  }
  layers.emplace_back().mutable_linear()->set_outputs(classes);
  if (mlp.output_batch_norm()) layers.emplace_back().mutable_batch_norm();
  return layers;
}

// Builds the spec a layer at a time; `shape_` is what the next layer is given.
class SpecBuilder {
 public:
  SpecBuilder(const DataShape& data, const Job& job)
      : quantize_(job.quantize()), shape_(data.sample) {
    spec_.input = data.sample;
    spec_.classes = data.classes;
    spec_.loss = job.model().loss();
  }

  // Adds a list whose items are `path`.0, `path`.1 and so on; a number is left
  // out where `numbered` is false.
  template <typename Layers>
  absl::Status AddAll(const Layers& layers, const std::string& path,
                      bool numbered = true) {
    const int count = static_cast<int>(layers.size());
    for (int i = 0; i < count; ++i) {
      TERSE_RETURN_IF_ERROR(Add(layers[i],
                                numbered ? absl::StrCat(path, ".", i) : path,
                                i + 1 < count ? &layers[i + 1] : nullptr));
    }
    if (!unscaled_.empty()) return UnscaledError();
    return absl::OkStatus();
  }

  ModelSpec Take() { return std::move(spec_); }

 private:
  // `path` is where the job has the layer; `next` the layer behind it or null.
  absl::Status Add(const Layer& layer, const std::string& path,
                   const Layer* next) {
    if (layer.has_residual()) return AddResidual(layer.residual(), path);
    Start(path, value_);
    const bool bias = next == nullptr || !next->has_batch_norm();
    TERSE_RETURN_IF_ERROR(AddKind(layer, bias));
    TERSE_RETURN_IF_ERROR(Scale(layer));
    return Finish();
  }

  // Begins a layer that takes `value`.
  void Start(const std::string& path, uint32_t value) {
    const Shape& shape =
        value == 0 ? spec_.input : spec_.layers[value - 1].output;
    layer_ = LayerSpec{.input = shape, .source = value};
    shape_ = shape;
    path_ = path;
  }

  // Appends the layer; what it puts out is what the next one takes.
  absl::Status Finish() {
    if (ElementCount(layer_.output) > kElementsMax) {
      return Error(absl::StrCat("its output ", ShapeText(layer_.output),
                                " is too large"));
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

  // XNOR-Net's activation is of signs; the product that takes them is scaled by
  // what they were the signs of.
  absl::Status Scale(const Layer& layer) {
    if (layer_.kind == LayerSpec::Kind::kActivation) {
      const ActivationQuantization& options = layer_.quantization;
      if (!unscaled_.empty()) return UnscaledError();
      if (options.kind() == ActivationQuantization::XNOR &&
          options.input_scale()) {
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

  absl::Status UnscaledError() const {
    return Error(absl::StrCat(
        unscaled_, " has activations of kind xnor, whose input scale needs a ",
        "linear or convolution layer right behind it; move the pool in front ",
        "of it or set input_scale: false"));
  }

  // The shortcut's layers come behind the block's own, the sum last.
  absl::Status AddResidual(const Residual& residual, const std::string& path) {
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
    Name(LayerSpec::Kind::kAdd, "add", additions_);
    layer_.addend = shortcut;
    layer_.output = to;
    return Finish();
  }

  // Brings value `input` to shape `to`.
  absl::Status AddShortcut(const Shape& to, bool pad, uint32_t input,
                           const std::string& path) {
    Start(path, input);
    TERSE_ASSIGN_OR_RETURN(const uint32_t stride, ShortcutStride(to));
    if (pad) {
      if (to[0] < shape_[0]) {
        return Error("a shortcut that pads cannot take channels away");
      }
      Name(LayerSpec::Kind::kSubsample, "shortcut", shortcuts_);
      layer_.stride = stride;
      layer_.output = to;
      return Finish();
    }
    Conv conv;
    conv.set_filters(static_cast<uint32_t>(to[0]));
    conv.set_kernel(1);
    conv.set_stride(stride);
    TERSE_RETURN_IF_ERROR(
        AddConv(conv, /*bias=*/false, "shortcut", shortcuts_));
    TERSE_RETURN_IF_ERROR(Finish());
    Start(path, value_);
    TERSE_RETURN_IF_ERROR(AddBatchNorm(BatchNorm()));
    return Finish();
  }

  // The step with which every so-many-th pixel of the input makes `to`.
  absl::StatusOr<uint32_t> ShortcutStride(const Shape& to) const {
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

  absl::Status AddKind(const Layer& layer, bool bias) {
    switch (layer.kind_case()) {
      case Layer::kConv:
        return AddConv(layer.conv(), bias, "conv", convolutions_);
      case Layer::kLinear:
        return AddLinear(layer.linear(), bias);
      case Layer::kBatchNorm:
        return AddBatchNorm(layer.batch_norm());
      case Layer::kActivation:
        AddActivation(layer.activation());
        return absl::OkStatus();
      case Layer::kMaxPool:
        return AddPool(layer.max_pool(), LayerSpec::Kind::kMaxPool);
      case Layer::kAveragePool:
        return AddPool(layer.average_pool(), LayerSpec::Kind::kAveragePool);
      case Layer::kDropout:
        Name(LayerSpec::Kind::kDropout, "drop", dropouts_);
        layer_.probability = layer.dropout().probability();
        layer_.output = shape_;
        return absl::OkStatus();
      case Layer::kResidual:
      case Layer::KIND_NOT_SET:
        break;
    }
    return Error("the layer has no kind");
  }

  void AddActivation(const Activation& activation) {
    Name(LayerSpec::Kind::kActivation, "act", activations_);
    layer_.activation = activation.kind();
    layer_.quantization = ActivationsOf(quantize_, layer_.name);
    layer_.output = shape_;
    if (layer_.quantization.kind() == ActivationQuantization::PACT) {
      layer_.clip = AddTensor("clip", {1}, TensorSpec::Role::kParameter,
                              layer_.quantization.initial_clip());
    }
  }

  absl::Status AddConv(const Conv& conv, bool bias, const char* prefix,
                       int& counter) {
    Name(LayerSpec::Kind::kConv, prefix, counter);
    layer_.kernel = conv.kernel();
    layer_.stride = conv.stride();
    layer_.padding = conv.padding();
    TERSE_RETURN_IF_ERROR(SlideWindow(conv.filters()));
    const uint64_t area = uint64_t{conv.kernel()} * conv.kernel();
    const uint64_t channels = shape_[0];
    const Shape weight = {conv.filters(), channels, conv.kernel(),
                          conv.kernel()};
    TERSE_RETURN_IF_ERROR(AddWeights(weight, SaturatedProduct({channels, area}),
                                     SaturatedProduct({conv.filters(), area}),
                                     conv.has_bias() ? conv.bias() : bias));
    layer_.multiply_adds = SaturatedProduct(
        {layer_.output[1], layer_.output[2], conv.filters(), channels, area});
    return CheckMultiplyAdds();
  }

  absl::Status AddLinear(const Linear& linear, bool bias) {
    Name(LayerSpec::Kind::kLinear, "fc", linears_);
    if (linear.outputs() == 0) return Error("has no outputs");
    const uint64_t inputs = ElementCount(shape_);
    bias = linear.has_bias() ? linear.bias() : bias;
    layer_.output = {linear.outputs()};
    TERSE_RETURN_IF_ERROR(
        AddWeights({linear.outputs(), inputs}, inputs, linear.outputs(), bias));
    layer_.multiply_adds =
        SaturatedProduct({inputs + (bias ? 1 : 0), linear.outputs()});
    return CheckMultiplyAdds();
  }

  absl::Status AddBatchNorm(const BatchNorm& options) {
    Name(LayerSpec::Kind::kBatchNorm, "bn", batch_norms_);
    layer_.epsilon = options.epsilon();
    layer_.momentum = options.momentum();
    layer_.output = shape_;
    const Shape shape = {shape_[0]};
    using Role = TensorSpec::Role;
    layer_.weight = AddTensor("weight", shape, Role::kParameter, 1);
    layer_.bias = AddTensor("bias", shape, Role::kParameter, 0);
    layer_.running_mean = AddTensor("running_mean", shape, Role::kBuffer, 0);
    layer_.running_var = AddTensor("running_var", shape, Role::kBuffer, 1);
    return absl::OkStatus();
  }

  absl::Status AddPool(const Pool& pool, LayerSpec::Kind kind) {
    Name(kind, "pool", pools_);
    layer_.kernel = pool.size();
    layer_.stride = pool.stride() == 0 ? pool.size() : pool.stride();
    return SlideWindow(shape_[0]);
  }

  // Sets the output of a window that slides over a picture; a last step that
  // would leave the picture is not taken.
  absl::Status SlideWindow(uint64_t channels) {
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

  absl::Status AddWeights(const Shape& shape, uint64_t fan_in, uint64_t fan_out,
                          bool bias) {
    if (SaturatedProduct({shape[0], fan_in}) > kElementsMax) {
      return Error(absl::StrCat("its weight ", ShapeText(shape),
                                " has more than ", kElementsMax, " elements"));
    }
    layer_.weight = AddTensor("weight", shape, TensorSpec::Role::kWeight, 0);
    spec_.tensors.back().fan_in = fan_in;
    spec_.tensors.back().fan_out = fan_out;
    if (bias) {
      layer_.bias =
          AddTensor("bias", {shape[0]}, TensorSpec::Role::kParameter, 0);
    }
    return absl::OkStatus();
  }

  uint32_t AddTensor(const char* suffix, const Shape& shape,
                     TensorSpec::Role role, float initial_value) {
    spec_.tensors.push_back({.name = absl::StrCat(layer_.name, ".", suffix),
                             .shape = shape,
                             .role = role,
                             .initial_value = initial_value});
    return static_cast<uint32_t>(spec_.tensors.size() - 1);
  }

  void Name(LayerSpec::Kind kind, const char* prefix, int& counter) {
    layer_.kind = kind;
    layer_.name = absl::StrCat(prefix, ++counter);
  }

  absl::Status CheckMultiplyAdds() const {
    constexpr uint64_t kMultiplyAddsMax = uint64_t{1} << 62;
    if (layer_.multiply_adds <= kMultiplyAddsMax) return absl::OkStatus();
    return Error("needs more than 2^62 multiply-adds a sample");
  }

  absl::Status Error(std::string_view text) const {
    const std::string name =
        layer_.name.empty() ? "" : absl::StrCat(" (", layer_.name, ")");
    return WithExitCode(absl::InvalidArgumentError(
                            absl::StrCat(path_, name, ": ", ToAbsl(text))),
                        ExitCode::kBadJob);
  }

  const Quantize& quantize_;
  ModelSpec spec_;
  uint32_t value_ = 0;  // What the next layer takes.
  Shape shape_;         // Of what the layer being added takes.
  LayerSpec layer_;     // Being added.
  std::string path_;    // Of layer_.
  int convolutions_ = 0;
  int linears_ = 0;
  int batch_norms_ = 0;
  int activations_ = 0;
  int pools_ = 0;
  int dropouts_ = 0;
  int shortcuts_ = 0;
  int additions_ = 0;
  // The activation that waits for the product that it scales, and its input.
  std::string unscaled_;
  uint32_t magnitudes_ = 0;
};

// The network must end in one number for each class.
absl::Status CheckOutput(const Job& job, const ModelSpec& spec) {
  const LayerSpec& last = spec.layers.back();
  const bool ends_linear =
      last.kind == LayerSpec::Kind::kLinear ||
      (last.kind == LayerSpec::Kind::kBatchNorm && spec.layers.size() > 1 &&
       spec.layers.end()[-2].kind == LayerSpec::Kind::kLinear);
  if (ends_linear && last.output == Shape{spec.classes}) {
    return absl::OkStatus();
  }
  return WithExitCode(
      absl::InvalidArgumentError(absl::StrCat(
          "model.layers.", job.model().layers_size() - 1, " (", last.name,
          "): the last layer must be a linear layer with ", spec.classes,
          " outputs, one for each class (a batch norm may follow), but ",
          last.name, " puts out ", ShapeText(last.output))),
      ExitCode::kBadJob);
}

}  // namespace

uint64_t ElementCount(const Shape& shape) {
  uint64_t count = 1;
  for (const uint64_t size : shape) count = SaturatedProduct({count, size});
  return count;
}

DataShape DataShapeOf(const Data& data) {
  switch (data.kind()) {
    case Data::DIGITS:
    case Data::MNIST:
      return {.sample = {1, 28, 28}, .classes = 10};
    case Data::CIFAR10:
      return {.sample = {3, 32, 32}, .classes = 10};
    case Data::NOISE:
      return {.sample = Shape(data.shape().begin(), data.shape().end()),
              .classes = 10};
  }
  return {};
}

absl::StatusOr<ModelSpec> MakeModelSpec(const Job& job) {
  const DataShape data = DataShapeOf(job.data());
  if (data.sample.empty() || ElementCount(data.sample) > kElementsMax ||
      ElementCount(data.sample) == 0) {
    return WithExitCode(absl::InvalidArgumentError(
                            absl::StrCat("data.shape: ", ShapeText(data.sample),
                                         " is not the shape of a sample")),
                        ExitCode::kBadJob);
  }
  const Model& model = job.model();
  const bool is_list = model.layers_size() > 0;
  const std::vector<Layer> layers =
      is_list ? std::vector<Layer>(model.layers().begin(), model.layers().end())
              : ExpandMlp(model.mlp(), data.classes);
  SpecBuilder builder(data, job);
  TERSE_RETURN_IF_ERROR(
      builder.AddAll(layers, is_list ? "model.layers" : "model.mlp", is_list));
  ModelSpec spec = builder.Take();
  TERSE_RETURN_IF_ERROR(CheckOutput(job, spec));
  TERSE_RETURN_IF_ERROR(CheckLayerOptions(job.quantize(), spec));
  ChooseBackward(job.quantize(), spec);
  return spec;
}

}  // namespace terse
