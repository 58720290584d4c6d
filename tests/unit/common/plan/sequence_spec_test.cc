// Models of text as tables of layers and tensors.
#include <string>
#include <vector>

#include "common/base/status.h"
#include "common/plan/plan.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/common/plan/job_for_test.h"

namespace terse {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

Job TextJob(const std::string& layers, const std::string& more = "") {
  return JobOf("model: {layers: " + layers +
               "}\ndata: {kind: text, sequence: 10}\n" + more);
}

std::string ErrorOf(const Job& job) {
  const absl::Status status = MakePlan(job).status();
  EXPECT_EQ(ExitCodeOf(status), ExitCode::kBadJob);
  return std::string(status.message());
}

std::vector<std::string> Tensors(const ModelSpec& spec) {
  std::vector<std::string> texts;
  for (const TensorSpec& tensor : spec.tensors) {
    std::string text = tensor.name;
    for (const uint64_t size : tensor.shape) text += " " + std::to_string(size);
    texts.push_back(text);
  }
  return texts;
}

TEST(SequenceSpecTest, AnLstmHasTheWeightsOfFourGates) {
  const auto spec =
      MakeModelSpec(TextJob("[embedding: 6, lstm: 5, lstm: {hidden: 4, "
                            "forget_bias: 0}, linear: 96]"));
  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_THAT(Tensors(*spec),
              ElementsAre("embed1.weight 96 6", "lstm1.weight_input 20 6",
                          "lstm1.weight_hidden 20 5", "lstm1.bias 20",
                          "lstm2.weight_input 16 5", "lstm2.weight_hidden 16 4",
                          "lstm2.bias 16", "fc1.weight 96 4", "fc1.bias 96"));
  EXPECT_EQ(spec->input, Shape{10});
  EXPECT_EQ(spec->classes, 96);
  EXPECT_EQ(spec->predictions, 10);
  EXPECT_EQ(spec->layers[1].output, (Shape{10, 5}));
  EXPECT_EQ(spec->layers[1].forget_bias, 1);
  EXPECT_EQ(spec->layers[2].forget_bias, 0);
  EXPECT_EQ(spec->layers.back().output, (Shape{10, 96}));
  EXPECT_EQ(spec->layers[0].multiply_adds, 0);
  EXPECT_EQ(spec->layers[1].multiply_adds, 10 * 20 * (6 + 5 + 1));
  EXPECT_EQ(spec->layers[3].multiply_adds, 10 * 96 * (4 + 1));
}

TEST(SequenceSpecTest, ATransformerIsMadeOfResidualBlocks) {
  const auto spec = MakeModelSpec(
      TextJob("[embedding: 8, position: {}, residual: {layers: [layer_norm: "
              "{}, attention: 2]}, residual: {layers: [layer_norm: {}, linear: "
              "12, activation: relu, dropout: 0.1, linear: 8]}, layer_norm: "
              "{}, linear: 96]"));
  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_THAT(Tensors(*spec),
              ElementsAre("embed1.weight 96 8", "pos1.weight 10 8",
                          "ln1.weight 8", "ln1.bias 8", "attn1.weight_qkv 24 8",
                          "attn1.bias_qkv 24", "attn1.weight_output 8 8",
                          "attn1.bias_output 8", "ln2.weight 8", "ln2.bias 8",
                          "fc1.weight 12 8", "fc1.bias 12", "fc2.weight 8 12",
                          "fc2.bias 8", "ln3.weight 8", "ln3.bias 8",
                          "fc3.weight 96 8", "fc3.bias 96"));
  // Four projections with their biases, and the products of 10 x 10 pairs.
  EXPECT_EQ(spec->layers[3].multiply_adds, 10 * 8 * 4 * 9 + 2 * 10 * 10 * 8);
}

TEST(SequenceSpecTest, TablesAreQuantizedByRulesAlone) {
  const std::string layers = "[embedding: 6, lstm: 5, linear: 96]";
  const auto names = [](const Plan& plan) {
    std::vector<std::string> quantized;
    for (size_t t = 0; t < plan.tensors.size(); ++t) {
      if (plan.tensors[t].quantizer == nullptr) continue;
      quantized.push_back(plan.model.tensors[t].name);
    }
    return quantized;
  };
  const auto plan =
      MakePlan(TextJob(layers,
                       "quantize: {weights: {kind: balanced, bits: 2}}\n"
                       "optimizer: {weight_decay: 0.5}"));
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_THAT(names(*plan), ElementsAre("lstm1.weight_input",
                                        "lstm1.weight_hidden", "fc1.weight"));
  EXPECT_EQ(plan->tensors[0].weight_decay, 0);
  EXPECT_EQ(plan->tensors[1].weight_decay, 0.5f);
  const auto ruled = MakePlan(TextJob(
      layers, "quantize: {rules: [{match: embed1.weight, weights: bwn}]}"));
  ASSERT_TRUE(ruled.ok()) << ruled.status();
  EXPECT_THAT(names(*ruled), ElementsAre("embed1.weight"));
  EXPECT_EQ(ruled->tensors[0].row_elements, 6);
}

TEST(SequenceSpecTest, HiddenStatesTakeActivationsOfTheirRange) {
  const std::string layers =
      "[embedding: 6, lstm: 5, activation: relu, linear: 96]";
  const auto spec = MakeModelSpec(
      TextJob(layers,
              "quantize: {activations: {kind: hwgq, bits: 2}, "
              "activation_rules: [{match: lstm*, activations: {kind: "
              "symmetric, bits: 3}}]}"));
  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_EQ(spec->layers[1].quantization.kind(),
            ActivationQuantization::SYMMETRIC);
  EXPECT_EQ(spec->layers[2].quantization.kind(), ActivationQuantization::HWGQ);
  EXPECT_THAT(
      ErrorOf(TextJob(layers, "quantize: {activations: {kind: pact}}")),
      HasSubstr("the hidden state of lstm1 takes one of the kinds none, bnn"));
}

TEST(SequenceSpecTest, LayersThatDoNotFitAreNamed) {
  EXPECT_THAT(ErrorOf(TextJob("[linear: 96]")),
              HasSubstr("begins with an embedding"));
  EXPECT_THAT(ErrorOf(JobOf("model: {mlp: [3]}\ndata: text")),
              HasSubstr("begins with an embedding"));
  EXPECT_THAT(ErrorOf(JobOfLayers("[embedding: 5, linear: 10]", "[7]")),
              HasSubstr("model.layers.0 (embed1): an embedding takes the "
                        "characters of data.kind: text"));
  EXPECT_THAT(ErrorOf(TextJob("[embedding: 5, embedding: 5, linear: 96]")),
              HasSubstr("model.layers.1 (embed2)"));
  EXPECT_THAT(ErrorOf(JobOfLayers("[lstm: 5, linear: 10]", "[1, 4, 4]")),
              HasSubstr("(lstm1): needs a sequence [positions, channels]"));
  EXPECT_THAT(ErrorOf(TextJob("[embedding: 6, attention: 4, linear: 96]")),
              HasSubstr("(attn1): 4 heads do not divide the 6 channels"));
  EXPECT_THAT(ErrorOf(TextJob("[embedding: 6, batch_norm: {}, linear: 96]")),
              HasSubstr("takes layer_norm in place of batch_norm"));
  EXPECT_THAT(
      ErrorOf(TextJob("[embedding: 6, conv: {filters: 3}, linear: 96]")),
      HasSubstr("needs a picture"));
  EXPECT_THAT(ErrorOf(TextJob("[embedding: 6, lstm: 96]")),
              HasSubstr("a linear layer with 96 outputs, one for each "
                        "character, at every position"));
  EXPECT_THAT(ErrorOf(TextJob("[embedding: 6, activation: relu, linear: 96]",
                              "quantize: {activations: {kind: xnor}}")),
              HasSubstr("set input_scale: false"));
}

}  // namespace
}  // namespace terse
