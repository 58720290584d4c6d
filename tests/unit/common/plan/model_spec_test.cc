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
