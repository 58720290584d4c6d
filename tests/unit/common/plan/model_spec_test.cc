#include "common/plan/model_spec.h"

#include <string>
#include <vector>

#include "common/base/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/common/plan/job_for_test.h"

namespace terse {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

ModelSpec SpecOf(const Job& job) {
  absl::StatusOr<ModelSpec> spec = MakeModelSpec(job);
  EXPECT_TRUE(spec.ok()) << spec.status();
  return spec.ok() ? *std::move(spec) : ModelSpec();
}

std::string ErrorOf(const Job& job) {
  const absl::Status status = MakeModelSpec(job).status();
  EXPECT_EQ(ExitCodeOf(status), ExitCode::kBadJob);
  return std::string(status.message());
}

std::vector<std::string> LayerNames(const ModelSpec& spec) {
  std::vector<std::string> names;
  for (const LayerSpec& layer : spec.layers) names.push_back(layer.name);
  return names;
}

std::vector<std::string> TensorNames(const ModelSpec& spec) {
  std::vector<std::string> names;
  for (const TensorSpec& tensor : spec.tensors) names.push_back(tensor.name);
  return names;
}

TEST(ElementCountTest, MultipliesAndSaturates) {
  EXPECT_EQ(ElementCount({}), 1);
  EXPECT_EQ(ElementCount({3, 4, 5}), 60);
  EXPECT_EQ(ElementCount({3, 0}), 0);
  const uint64_t large = uint64_t{1} << 33;
  EXPECT_EQ(ElementCount({large, large}), ~uint64_t{0});
}

TEST(ModelSpecTest, AnMlpIsLinearBatchNormActivationDropout) {
  const ModelSpec spec =
      SpecOf(JobOf("model: {mlp: {hidden: [20, 30], dropout: 0.25, "
                   "output_batch_norm: true}, loss: squared_hinge}"));
  EXPECT_EQ(spec.input, (Shape{1, 28, 28}));
  EXPECT_EQ(spec.classes, 10);
  EXPECT_EQ(spec.loss, Model::SQUARED_HINGE);
  EXPECT_THAT(LayerNames(spec),
              ElementsAre("fc1", "bn1", "act1", "drop1", "fc2", "bn2", "act2",
                          "drop2", "fc3", "bn3"));
  EXPECT_THAT(TensorNames(spec),
              ElementsAre("fc1.weight", "bn1.weight", "bn1.bias",
                          "bn1.running_mean", "bn1.running_var", "fc2.weight",
                          "bn2.weight", "bn2.bias", "bn2.running_mean",
                          "bn2.running_var", "fc3.weight", "bn3.weight",
                          "bn3.bias", "bn3.running_mean", "bn3.running_var"));
  EXPECT_EQ(spec.layers[3].probability, 0.25f);
  EXPECT_EQ(spec.layers[1].epsilon, 1e-4f);
  EXPECT_EQ(spec.layers[1].momentum, 0.1f);
  const TensorSpec& weight = spec.tensors[*spec.layers[4].weight];
  EXPECT_EQ(weight.name, "fc2.weight");
  EXPECT_EQ(weight.shape, (Shape{30, 20}));
  EXPECT_EQ(weight.fan_in, 20);
  EXPECT_EQ(weight.fan_out, 30);
  EXPECT_FALSE(spec.layers[4].bias.has_value());
  EXPECT_EQ(spec.layers[4].multiply_adds, 600);
  EXPECT_EQ(spec.layers[4].input, (Shape{20}));
  EXPECT_EQ(spec.layers[0].input, (Shape{1, 28, 28}));
  EXPECT_EQ(spec.layers.back().output, (Shape{10}));
}

TEST(ModelSpecTest, WithoutBatchNormThereIsABias) {
  const ModelSpec spec =
      SpecOf(JobOf("model: {mlp: {hidden: [20], batch_norm: false}}"));
  EXPECT_THAT(TensorNames(spec),
              ElementsAre("fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias"));
  EXPECT_EQ(spec.layers[0].multiply_adds, 785 * 20);
  EXPECT_EQ(spec.tensors[1].shape, (Shape{20}));
  EXPECT_EQ(spec.tensors[1].role, TensorSpec::Role::kParameter);
}

TEST(ModelSpecTest, NoHiddenLayerIsALinearClassifier) {
  EXPECT_THAT(LayerNames(SpecOf(JobOf("model: {mlp: []}"))),
              ElementsAre("fc1"));
}

TEST(ModelSpecTest, BatchNormTensorsHaveTheirRolesAndValues) {
  const ModelSpec spec = SpecOf(JobOfLayers(
      "[conv: {filters: 4}, batch_norm: {epsilon: 0.5, momentum: 0.25}, "
      "linear: 10]",
      "[3, 8, 8]"));
  const LayerSpec& layer = spec.layers[1];
  EXPECT_EQ(layer.epsilon, 0.5f);
  EXPECT_EQ(layer.momentum, 0.25f);
  EXPECT_EQ(layer.input, (Shape{4, 6, 6}));
  EXPECT_EQ(layer.output, (Shape{4, 6, 6}));
  EXPECT_EQ(layer.multiply_adds, 0);
  using Role = TensorSpec::Role;
  EXPECT_EQ(spec.tensors[*layer.weight].role, Role::kParameter);
  EXPECT_EQ(spec.tensors[*layer.bias].role, Role::kParameter);
  EXPECT_EQ(spec.tensors[*layer.running_mean].role, Role::kBuffer);
  EXPECT_EQ(spec.tensors[*layer.running_var].role, Role::kBuffer);
  EXPECT_EQ(spec.tensors[*layer.weight].initial_value, 1);
  EXPECT_EQ(spec.tensors[*layer.bias].initial_value, 0);
  EXPECT_EQ(spec.tensors[*layer.running_mean].initial_value, 0);
  EXPECT_EQ(spec.tensors[*layer.running_var].initial_value, 1);
  EXPECT_EQ(spec.tensors[*layer.running_var].shape, (Shape{4}));
}

TEST(ModelSpecTest, BatchNormInFrontOfHwgqHasNoScaleAndShift) {
  const auto has_affine = [](const std::string& layers) {
    Job job = JobOfLayers(layers, "[3, 8, 8]");
    auto* quantize = job.mutable_quantize();
    quantize->mutable_activations()->set_kind(ActivationQuantization::HWGQ);
    auto* rule = quantize->add_activation_rules();
    rule->set_match("act2");
    rule->mutable_activations()->set_kind(ActivationQuantization::DOREFA);
    std::string text;
    for (const LayerSpec& layer : SpecOf(job).layers) {
      if (layer.kind != LayerSpec::Kind::kBatchNorm) continue;
      EXPECT_EQ(layer.weight.has_value(), layer.bias.has_value());
      text += layer.weight.has_value() ? 'y' : 'n';
    }
    return text;
  };
  EXPECT_EQ(has_affine("[batch_norm, activation, batch_norm, activation, "
                       "batch_norm, max_pool, activation, linear: 10, "
                       "batch_norm]"),
            "nyyy");
}

TEST(ModelSpecTest, ConvolutionsKnowTheirSizes) {
  const ModelSpec spec = SpecOf(JobOfLayers(
      "[conv: {filters: 8, kernel: 5, stride: 2, padding: 1, bias: false}, "
      "conv: {filters: 6}, batch_norm, linear: {outputs: 10, bias: false}]",
      "[3, 12, 9]"));
  const LayerSpec& first = spec.layers[0];
  // (12 + 2 - 5) / 2 + 1 = 5.5 and (9 + 2 - 5) / 2 + 1 = 4.
  EXPECT_EQ(first.output, (Shape{8, 5, 4}));
  EXPECT_EQ(first.kernel, 5);
  EXPECT_EQ(first.stride, 2);
  EXPECT_EQ(first.padding, 1);
  EXPECT_FALSE(first.bias.has_value());
  EXPECT_EQ(first.multiply_adds, 5 * 4 * 8 * 3 * 25);
  const TensorSpec& weight = spec.tensors[*first.weight];
  EXPECT_EQ(weight.shape, (Shape{8, 3, 5, 5}));
  EXPECT_EQ(weight.fan_in, 75);
  EXPECT_EQ(weight.fan_out, 200);
  EXPECT_FALSE(spec.layers[1].bias.has_value());
  EXPECT_FALSE(spec.layers[3].bias.has_value());
  EXPECT_EQ(spec.layers[3].multiply_adds, 6 * 3 * 2 * 10);
}

TEST(ModelSpecTest, PoolsDropWhatDoesNotFill) {
  const ModelSpec spec = SpecOf(JobOfLayers(
      "[max_pool: 2, average_pool: {size: 3, stride: 1}, linear: 10]",
      "[2, 9, 11]"));
  EXPECT_THAT(LayerNames(spec), ElementsAre("pool1", "pool2", "fc1"));
  EXPECT_EQ(spec.layers[0].kind, LayerSpec::Kind::kMaxPool);
  EXPECT_EQ(spec.layers[0].stride, 2);
  EXPECT_EQ(spec.layers[0].output, (Shape{2, 4, 5}));
  EXPECT_EQ(spec.layers[1].kind, LayerSpec::Kind::kAveragePool);
  EXPECT_EQ(spec.layers[1].output, (Shape{2, 2, 3}));
  EXPECT_EQ(spec.layers[2].multiply_adds, 13 * 10);
}

TEST(ModelSpecTest, LayersMayBeNamedFromAFlatInput) {
  const ModelSpec spec =
      SpecOf(JobOfLayers("[linear: 5, activation: tanh, linear: 10]", "[7]"));
  EXPECT_EQ(spec.input, (Shape{7}));
  EXPECT_EQ(spec.layers[1].activation, Activation::TANH);
}

TEST(ModelSpecTest, ResidualBlocksEndInASum) {
  const ModelSpec spec = SpecOf(JobOfLayers(
      "[residual: [conv: {filters: 2, padding: 1}, batch_norm], activation, "
      "residual: [conv: {filters: 6, padding: 1, stride: 2}, batch_norm], "
      "residual: {layers: [conv: {filters: 8, padding: 1, stride: 2}], "
      "shortcut: pad}, linear: 10]",
      "[2, 7, 7]"));
  EXPECT_THAT(
      LayerNames(spec),
      ElementsAre("conv1", "bn1", "add1", "act1", "conv2", "bn2", "shortcut1",
                  "bn3", "add2", "conv3", "shortcut2", "add3", "fc1"));
  const auto layer = [&](const std::string& name) {
    for (const LayerSpec& candidate : spec.layers) {
      if (candidate.name == name) return candidate;
    }
    return LayerSpec();
  };
  EXPECT_EQ(layer("conv1").source, 0u);
  EXPECT_EQ(layer("add1").source, 2u);
  EXPECT_EQ(layer("add1").addend, 0u) << "the sample itself";
  EXPECT_EQ(layer("conv2").source, 4u);
  EXPECT_EQ(layer("shortcut1").source, 4u);
  EXPECT_EQ(layer("shortcut1").kind, LayerSpec::Kind::kConv);
  EXPECT_EQ(layer("shortcut1").output, (Shape{6, 4, 4}));
  EXPECT_EQ(layer("shortcut1").multiply_adds, 4u * 4 * 6 * 2);
  EXPECT_EQ(layer("add2").source, 6u);
  EXPECT_EQ(layer("add2").addend, 8u);
  EXPECT_EQ(layer("shortcut2").kind, LayerSpec::Kind::kSubsample);
  EXPECT_EQ(layer("shortcut2").stride, 2u);
  EXPECT_EQ(layer("shortcut2").output, (Shape{8, 2, 2}));
  EXPECT_FALSE(layer("shortcut2").weight.has_value());
  EXPECT_EQ(layer("fc1").source, 12u);
}

TEST(ModelSpecTest, ActivationsAreOfTheLastRule) {
  Job job = JobOf(
      "model: {mlp: [20, 30, 40]}\n"
      "quantize: {activations: {kind: pact, bits: 4, initial_clip: 6}, "
      "activation_rules: [{match: 'act*', activations: 'hwgq:bits=3'}, "
      "{match: act2, activations: none}, "
      "{match: act3, activations: {kind: pact, bits: 8}}]}");
  ModelSpec spec = SpecOf(job);
  EXPECT_EQ(spec.layers[2].quantization.kind(), ActivationQuantization::HWGQ);
  EXPECT_EQ(spec.layers[2].quantization.bits(), 3u);
  EXPECT_EQ(spec.layers[5].quantization.kind(), ActivationQuantization::NONE);
  ASSERT_TRUE(spec.layers[8].clip.has_value());
  job.mutable_quantize()->clear_activation_rules();
  spec = SpecOf(job);
  const TensorSpec& clip = spec.tensors[*spec.layers[2].clip];
  EXPECT_EQ(clip.name, "act1.clip");
  EXPECT_EQ(clip.shape, (Shape{1}));
  EXPECT_EQ(clip.role, TensorSpec::Role::kParameter);
  EXPECT_EQ(clip.initial_value, 6);
}

TEST(ModelSpecTest, XnorScalesTheNextProduct) {
  // The paper's order: batch norm, signs, convolution, pool.
  const ModelSpec spec = SpecOf(
      JobOf("model: {layers: [conv: {filters: 4, bias: false}, batch_norm, "
            "activation, dropout: 0.5, conv: {filters: 6}, max_pool: 2, "
            "batch_norm, activation, "
            "linear: 10]}\n"
            "data: {kind: noise, shape: [1, 12, 12]}\n"
            "quantize: {activations: xnor}"));
  EXPECT_FALSE(spec.layers[0].magnitudes.has_value());
  EXPECT_EQ(spec.layers[4].magnitudes, 2u) << "what the batch norm puts out";
  EXPECT_EQ(spec.layers[8].magnitudes, 7u);
}

TEST(ModelSpecTest, MepropLeavesTheLastLayerAlone) {
  Job job = JobOf(
      "model: {mlp: [500, 30]}\n"
      "quantize: {backward: {kind: meprop}}");
  const auto kept = [&] {
    std::vector<uint32_t> counts;
    for (const LayerSpec& layer : SpecOf(job).layers) {
      if (layer.weight && layer.kind == LayerSpec::Kind::kLinear) {
        counts.push_back(layer.outputs_kept);
      }
    }
    return counts;
  };
  EXPECT_THAT(kept(), ElementsAre(25, 2, 0));
  job.mutable_quantize()->mutable_backward()->set_keep(30);
  EXPECT_THAT(kept(), ElementsAre(30, 0, 0)) << "all 30 is not fewer";
  BackwardRule* rule = job.mutable_quantize()->add_backward_rules();
  rule->set_match("fc3");
  rule->mutable_backward()->set_kind(BackwardQuantization::MEPROP);
  rule->mutable_backward()->set_ratio(0.2f);
  EXPECT_EQ(kept()[2], 2u);
}

TEST(ModelSpecErrorTest, OptionsOfLayersMustFit) {
  const auto error_of = [](const std::string& quantize) {
    return ErrorOf(JobOf("model: {mlp: [20, 30]}\nquantize: " + quantize));
  };
  EXPECT_EQ(error_of("{activation_rules: [{match: act9, activations: bnn}]}"),
            "quantize.activation_rules.0.match: 'act9' matches no activation "
            "or lstm layer; the nearest is 'act1'");
  EXPECT_THAT(error_of("{backward_rules: [{match: x, backward: meprop}]}"),
              HasSubstr("matches no linear or convolution layer"));
  EXPECT_EQ(error_of("{activations: {kind: hwgq, bits: 5}}"),
            "quantize.activations.bits: kind hwgq has 4 bits at most, not 5");
  EXPECT_EQ(error_of("{activation_rules: [{match: act1, activations: "
                     "{kind: uniform, bits: 1}}]}"),
            "quantize.activation_rules.0.activations.bits: kind uniform needs "
            "2 bits at least");
  EXPECT_EQ(error_of("{backward: {kind: meprop, keep: 3, ratio: 0.1}}"),
            "quantize.backward: gives both keep and ratio; keep one");
}

TEST(ModelSpecErrorTest, ResidualBlocksMustFit) {
  EXPECT_THAT(
      ErrorOf(JobOfLayers(
          "[residual: {layers: [conv: {filters: 4}], shortcut: identity}, "
          "linear: 10]",
          "[2, 7, 7]")),
      HasSubstr("model.layers.0: its output [4, 5, 5] and its input [2, 7, 7] "
                "differ"));
  EXPECT_THAT(
      ErrorOf(JobOfLayers("[residual: [linear: 5], linear: 10]", "[2, 7, 7]")),
      HasSubstr("model.layers.0: no shortcut leads"));
  EXPECT_THAT(
      ErrorOf(JobOfLayers(
          "[residual: {layers: [conv: {filters: 1, padding: 1}], shortcut: "
          "pad}, linear: 10]",
          "[2, 7, 7]")),
      HasSubstr("cannot take channels away"));
  EXPECT_THAT(ErrorOf(JobOfLayers("[residual: [], linear: 10]", "[2, 7, 7]")),
              HasSubstr("model.layers.0: the block has no layers"));
  EXPECT_THAT(ErrorOf(JobOfLayers("[residual: [conv: {filters: 2, kernel: 9}], "
                                  "linear: 10]",
                                  "[2, 7, 7]")),
              HasSubstr("model.layers.0.residual.layers.0 (conv1)"));
}

TEST(ModelSpecErrorTest, XnorNeedsAProductBehindIt) {
  const std::string data =
      "data: {kind: noise, shape: [1, 12, 12]}\n"
      "quantize: {activations: xnor}";
  EXPECT_THAT(
      ErrorOf(
          JobOf("model: {layers: [conv: {filters: 4}, activation, max_pool: 2, "
                "linear: 10]}\n" +
                data)),
      HasSubstr("model.layers.2 (pool1): act1 has activations of kind "
                "xnor"));
  EXPECT_THAT(
      ErrorOf(JobOf("model: {layers: [linear: 10, activation]}\n" + data)),
      HasSubstr("act1 has activations of kind xnor"));
}

TEST(ModelSpecErrorTest, NamesTheLayer) {
  EXPECT_EQ(ErrorOf(JobOfLayers("[max_pool: 5, linear: 10]", "[1, 4, 9]")),
            "model.layers.0 (pool1): its window of 5x5 is larger than its "
            "input [1, 4, 9]");
  EXPECT_EQ(ErrorOf(JobOfLayers("[conv: {filters: 1, kernel: 7, padding: 1}, "
                                "linear: 10]",
                                "[1, 4, 9]")),
            "model.layers.0 (conv1): its window of 7x7 is larger than its "
            "input [1, 4, 9] with padding");
  EXPECT_EQ(ErrorOf(JobOfLayers("[linear: 5, conv: {filters: 1}, linear: 10]",
                                "[1, 4, 9]")),
            "model.layers.1 (conv1): needs a picture [channels, height, "
            "width], but its input is [5]");
  EXPECT_THAT(ErrorOf(JobOfLayers("[max_pool, linear: 10]", "[8]")),
              HasSubstr("needs a picture"));
}

TEST(ModelSpecErrorTest, TheEndMustFitTheClasses) {
  EXPECT_EQ(ErrorOf(JobOfLayers("[linear: 12]", "[8]")),
            "model.layers.0 (fc1): the last layer must be a linear layer with "
            "10 outputs, one for each class (a batch norm may follow), but fc1 "
            "puts out [12]");
  EXPECT_THAT(ErrorOf(JobOfLayers("[linear: 10, activation]", "[8]")),
              HasSubstr("model.layers.1 (act1): the last layer"));
  EXPECT_THAT(ErrorOf(JobOfLayers("[batch_norm]", "[10]")),
              HasSubstr("model.layers.0 (bn1): the last layer"));
  EXPECT_TRUE(
      MakeModelSpec(JobOfLayers("[linear: 10, batch_norm]", "[8]")).ok());
}

TEST(ModelSpecErrorTest, SizesThatNoMachineHoldsAreRefused) {
  // 2^48 inputs.
  EXPECT_THAT(ErrorOf(JobOfLayers("[linear: 10]", "[65536, 65536, 65536]")),
              HasSubstr("data.shape"));
  // 2^40 inputs of 2^20 outputs.
  EXPECT_THAT(ErrorOf(JobOfLayers("[linear: 1048576, linear: 10]",
                                  "[256, 65536, 65536]")),
              HasSubstr("model.layers.0 (fc1): its weight"));
  EXPECT_THAT(ErrorOf(JobOfLayers("[conv: {filters: 65536, kernel: 1}, "
                                  "linear: 10]",
                                  "[1, 65536, 65536]")),
              HasSubstr("model.layers.0 (conv1): its output"));
}

TEST(ModelSpecErrorTest, MessagesOfOtherOriginDoNotCrash) {
  Job job;
  job.mutable_model()->add_layers();
  EXPECT_EQ(ErrorOf(job), "model.layers.0: the layer has no kind");
  job.mutable_model()->mutable_layers(0)->mutable_linear();
  EXPECT_EQ(ErrorOf(job), "model.layers.0 (fc1): has no outputs");
  job.mutable_model()->mutable_layers(0)->mutable_conv();
  EXPECT_THAT(ErrorOf(job), HasSubstr("must be at least 1"));
  job.mutable_data()->set_kind(Data::NOISE);
  EXPECT_EQ(ErrorOf(job), "data.shape: [] is not the shape of a sample");
}

TEST(DataShapeTest, IsWhatTheDataAre) {
  EXPECT_EQ(DataShapeOf(JobOf("model: {mlp: []}\ndata: mnist").data()).sample,
            (Shape{1, 28, 28}));
  EXPECT_EQ(DataShapeOf(JobOf("model: {mlp: []}\ndata: cifar10").data()).sample,
            (Shape{3, 32, 32}));
  EXPECT_EQ(DataShapeOf(Data()).classes, 10);
}

}  // namespace
}  // namespace terse
