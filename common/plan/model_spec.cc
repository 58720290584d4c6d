#include "common/plan/model_spec.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/plan/layer_options.h"
#include "common/plan/spec_builder.h"

namespace terse {
namespace {

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

// The network must end in one number for each class.
absl::Status CheckOutput(const Job& job, const ModelSpec& spec) {
  const LayerSpec& last = spec.layers.back();
  const bool ends_linear =
      last.kind == LayerSpec::Kind::kLinear ||
      (last.kind == LayerSpec::Kind::kBatchNorm && spec.layers.size() > 1 &&
       spec.layers.end()[-2].kind == LayerSpec::Kind::kLinear);
  const bool text = job.data().kind() == Data::TEXT;
  const Shape expected =
      text ? Shape{spec.predictions, spec.classes} : Shape{spec.classes};
  if (ends_linear && last.output == expected) return absl::OkStatus();
  return WithExitCode(
      absl::InvalidArgumentError(absl::StrCat(
          "model.layers.", job.model().layers_size() - 1, " (", last.name,
          "): the last layer must be a linear layer with ", spec.classes,
          " outputs, one for each ", text ? "character" : "class",
          text ? ", at every position" : " (a batch norm may follow)", ", but ",
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
    case Data::TEXT:
      return {.sample = {data.sequence()},
              .classes = data.alphabet() == Data::BYTES ? 256u : 96u,
              .predictions = data.sequence()};
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
  if (job.data().kind() == Data::TEXT &&
      !(is_list && model.layers(0).has_embedding())) {
    return WithExitCode(
        absl::InvalidArgumentError(
            "model: a network for data.kind: text is a list of layers that "
            "begins with an embedding"),
        ExitCode::kBadJob);
  }
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
