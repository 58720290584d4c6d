#include "common/plan/plan.h"

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/random.h"
#include "common/base/status.h"
#include "common/codec/factory.h"
#include "common/optimizer/schedule.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/common/plan/job_for_test.h"

namespace terse {
namespace {

Plan PlanOf(const std::string& yaml) {
  absl::StatusOr<Plan> plan = MakePlan(JobOf(yaml));
  EXPECT_TRUE(plan.ok()) << plan.status();
  return plan.ok() ? *std::move(plan) : Plan();
}

std::string ErrorOf(const std::string& yaml) {
  const absl::Status status = MakePlan(JobOf(yaml)).status();
  EXPECT_EQ(ExitCodeOf(status), ExitCode::kBadJob);
  return std::string(status.message());
}

uint32_t IndexOf(const Plan& plan, const std::string& name) {
  for (uint32_t t = 0; t < plan.model.tensors.size(); ++t) {
    if (plan.model.tensors[t].name == name) return t;
  }
  ADD_FAILURE() << name;
  return 0;
}

const TensorPlan& Tensor(const Plan& plan, const std::string& name) {
  return plan.tensors[IndexOf(plan, name)];
}

std::string Describe(const GradientCodec& options) {
  return (*MakeCodec(options))->Describe();
}

std::string CodecOf(const Plan& plan, const std::string& name) {
  const auto& codec = Tensor(plan, name).codec;
  return codec == nullptr ? "null" : codec->Describe();
}

const std::string kRaw = Describe(GradientCodec());
const std::string kModel = "model: {mlp: {hidden: [100, 100]}}\n";

TEST(PlanTest, BuffersHaveNoCodecAndParametersAlwaysOne) {
  const Plan plan = PlanOf(kModel);
  for (uint32_t t = 0; t < plan.tensors.size(); ++t) {
    EXPECT_EQ(plan.tensors[t].codec == nullptr, plan.IsBuffer(t));
    EXPECT_EQ(plan.tensors[t].quantizer, nullptr);
  }
  EXPECT_EQ(CodecOf(plan, "fc1.weight"), kRaw);
}

TEST(PlanTest, SmallTensorsTravelRaw) {
  const Plan plan = PlanOf(kModel + "compress: {gradient: terngrad}");
  GradientCodec terngrad;
  terngrad.set_kind(GradientCodec::TERNGRAD);
  EXPECT_EQ(CodecOf(plan, "fc1.weight"), Describe(terngrad));
  EXPECT_EQ(CodecOf(plan, "fc2.weight"), Describe(terngrad));  // 10000.
  EXPECT_EQ(CodecOf(plan, "fc3.weight"), kRaw);                // 1000.
  EXPECT_EQ(CodecOf(plan, "bn1.weight"), kRaw);
}

TEST(PlanTest, TheLimitOfSmallTensorsIsNotSmall) {
  const std::string yaml =
      kModel + "compress: {gradient: fp16, small_tensor_elements: ";
  EXPECT_NE(CodecOf(PlanOf(yaml + "10000}"), "fc2.weight"), kRaw);
  EXPECT_EQ(CodecOf(PlanOf(yaml + "10001}"), "fc2.weight"), kRaw);
  EXPECT_NE(CodecOf(PlanOf(yaml + "0}"), "bn1.bias"), kRaw);
}

TEST(PlanTest, TheLastMatchingRuleWins) {
  const Plan plan = PlanOf(kModel + R"(
compress:
  gradient: terngrad
  rules:
    - match: "*.weight"
      gradient: fp16
    - match: fc2.*
      gradient: {kind: topk, error_feedback: true}
    - match: fc1.weight
      gradient: {kind: none, error_feedback: true}
)");
  GradientCodec fp16, topk;
  fp16.set_kind(GradientCodec::FP16);
  topk.set_kind(GradientCodec::TOPK);
  EXPECT_EQ(CodecOf(plan, "fc1.weight"), kRaw);
  EXPECT_EQ(CodecOf(plan, "fc2.weight"), Describe(topk));
  EXPECT_EQ(CodecOf(plan, "fc3.weight"),
            Describe(fp16));  // Though it is small.
  EXPECT_EQ(CodecOf(plan, "bn1.bias"), kRaw);
  EXPECT_TRUE(Tensor(plan, "fc2.weight").error_feedback);
  EXPECT_FALSE(Tensor(plan, "fc3.weight").error_feedback);
  // Nothing is lost, so there is nothing to feed back.
  EXPECT_FALSE(Tensor(plan, "fc1.weight").error_feedback);
}

TEST(PlanTest, QuantizersAreForWeightsAlone) {
  const Plan plan = PlanOf(kModel + R"(
quantize:
  weights: binaryconnect
  rules:
    - match: fc3.*
      weights: none
    - match: fc2.weight
      weights: {kind: dorefa, bits: 2}
)");
  ASSERT_NE(Tensor(plan, "fc1.weight").quantizer, nullptr);
  EXPECT_EQ(Tensor(plan, "fc1.weight").quantizer->BitsPerWeight(), 1);
  ASSERT_NE(Tensor(plan, "fc2.weight").quantizer, nullptr);
  EXPECT_EQ(Tensor(plan, "fc2.weight").quantizer->BitsPerWeight(), 2);
  EXPECT_EQ(Tensor(plan, "fc3.weight").quantizer, nullptr);
  EXPECT_EQ(Tensor(plan, "bn1.weight").quantizer, nullptr);
  EXPECT_EQ(Tensor(plan, "fc1.weight").weight_max, 1);
  EXPECT_EQ(Tensor(plan, "fc2.weight").weight_max,
            std::numeric_limits<float>::infinity());
  EXPECT_EQ(Tensor(plan, "fc3.weight").weight_max,
            std::numeric_limits<float>::infinity());
  EXPECT_EQ(Tensor(plan, "bn1.weight").weight_max,
            std::numeric_limits<float>::infinity());
}

TEST(PlanTest, ShadowMaxIsTheMethodsUnlessGiven) {
  const auto max = [](const std::string& options) {
    return Tensor(
               PlanOf(kModel + "quantize: {ends: quantized, " + options + "}"),
               "fc1.weight")
        .weight_max;
  };
  const float infinity = std::numeric_limits<float>::infinity();
  for (const char* kind :
       {"binaryconnect", "binaryconnect_stochastic", "bwn"}) {
    EXPECT_EQ(max(absl::StrCat("weights: ", kind)), 1) << kind;
  }
  for (const char* kind : {"dorefa", "twn", "ttq", "balanced"}) {
    EXPECT_EQ(max(absl::StrCat("weights: ", kind)), infinity) << kind;
  }
  EXPECT_EQ(max("weights: {kind: uniform, bits: 4, max: 0.25}"), 0.25f);
  EXPECT_EQ(max("weights: dorefa, shadow_max: 1.5"), 1.5f);
  EXPECT_EQ(max("weights: bwn, shadow_max: 0"), infinity);
}

TEST(PlanTest, TrainingRulesNeedAGrid) {
  const Plan plan = PlanOf(kModel + R"(
quantize:
  weights: {kind: uniform, bits: 3, max: 0.75}
  rule: sr
  rules:
    - {match: fc2.*, weights: binaryconnect}
    - {match: fc3.*, weights: none}
)");
  EXPECT_EQ(Tensor(plan, "fc1.weight").rule, Quantize::SR);
  EXPECT_EQ(Tensor(plan, "fc1.weight").grid.step, 0.25f);
  EXPECT_EQ(Tensor(plan, "fc2.weight").rule, Quantize::SR);
  EXPECT_FALSE(Tensor(plan, "fc2.weight").grid.has_zero);
  EXPECT_EQ(Tensor(plan, "fc3.weight").rule, Quantize::BC);
  EXPECT_THAT(
      ErrorOf(kModel + "quantize: {ends: quantized, weights: bwn, rule: r}"),
      testing::HasSubstr("quantize.rule: the weights of fc1.weight "
                         "(bwn) have no grid of their own"));
}

TEST(PlanTest, CenteringKnowsTheFiltersPositions) {
  const Plan plan = PlanOf(
      "model: {layers: [conv: {filters: 4}, linear: 10]}\n"
      "data: {kind: noise, shape: [3, 5, 5]}\n"
      "quantize: {ends: quantized, weights: {kind: bwn, center: true}}");
  EXPECT_EQ(Tensor(plan, "conv1.weight").center_positions, 9);
  EXPECT_EQ(Tensor(plan, "fc1.weight").center_positions, 1);
}

TEST(PlanTest, AScalePerRowNeedsRowsWithinABlock) {
  const auto error = [](const std::string& kind) {
    return ErrorOf(
        "model: {layers: [linear: 10]}\n"
        "data: {kind: noise, shape: [1, 513, 512]}\n"
        "quantize: {ends: quantized, weights: " +
        kind + "}");
  };
  EXPECT_THAT(error("bwn"), testing::HasSubstr("a scale per row needs rows"));
  EXPECT_THAT(error("twn"), testing::HasSubstr("a scale per row needs rows"));
  PlanOf(
      "model: {layers: [linear: 10]}\n"
      "data: {kind: noise, shape: [1, 513, 512]}\n"
      "quantize: {ends: quantized, weights: ttq}");
}

TEST(PlanTest, InitialRanges) {
  const Plan plan = PlanOf(kModel + R"(
quantize:
  weights: binaryconnect_stochastic
  rules:
    - {match: fc2.weight, weights: dorefa}
    - {match: fc3.weight, weights: none}
)");
  EXPECT_EQ(Tensor(plan, "fc1.weight").initial_max, 1);
  EXPECT_EQ(Tensor(plan, "fc2.weight").initial_max, float(std::sqrt(0.06)));
  EXPECT_EQ(Tensor(plan, "fc3.weight").initial_max, float(std::sqrt(0.06)));
}

TEST(PlanTest, UpdateScales) {
  const auto scale = [](const std::string& options, const std::string& name) {
    return Tensor(
               PlanOf(kModel + "optimizer: adam\nquantize: {ends: quantized, " +
                      options + ", rules: [{match: fc3.*, weights: none}]}"),
               name)
        .update_scale;
  };
  Optimizer adam;
  adam.set_kind(Optimizer::ADAM);
  const float glorot = GlorotUpdateScale(adam, 784, 100);
  EXPECT_NE(glorot, 1);
  EXPECT_EQ(scale("weights: binaryconnect", "fc1.weight"), glorot);
  EXPECT_EQ(scale("weights: binaryconnect_stochastic", "fc1.weight"), glorot);
  EXPECT_EQ(scale("weights: dorefa", "fc1.weight"), 1);
  EXPECT_EQ(scale("weights: dorefa, update_scale: glorot", "fc1.weight"),
            glorot);
  EXPECT_EQ(scale("weights: binaryconnect, update_scale: none", "fc1.weight"),
            1);
  EXPECT_EQ(scale("weights: binaryconnect", "fc3.weight"), 1);
  EXPECT_EQ(scale("weights: dorefa, update_scale: glorot", "fc3.weight"), 1);
  EXPECT_EQ(scale("weights: binaryconnect", "bn1.weight"), 1);
}

TEST(PlanTest, WeightDecayIsForWeightsAlone) {
  const Plan plan = PlanOf(
      "model: {mlp: {hidden: [8], batch_norm: false}}\n"
      "optimizer: {weight_decay: 0.125}");
  EXPECT_EQ(Tensor(plan, "fc1.weight").weight_decay, 0.125f);
  EXPECT_EQ(Tensor(plan, "fc1.bias").weight_decay, 0);
}

TEST(PlanTest, RowsAreOutputs) {
  const Plan plan = PlanOf(
      "model: {layers: [conv: {filters: 4}, linear: 10]}\n"
      "data: {kind: noise, shape: [3, 5, 5]}");
  EXPECT_EQ(Tensor(plan, "conv1.weight").row_elements, 27);
  EXPECT_EQ(Tensor(plan, "conv1.bias").row_elements, 1);
  EXPECT_EQ(Tensor(plan, "fc1.weight").row_elements, 36);
  EXPECT_EQ(plan.ParameterCount(), 4 * 27 + 4 + 360 + 10);
}

TEST(PlanTest, ARuleThatMatchesNothingIsAnError) {
  EXPECT_EQ(ErrorOf(kModel +
                    "compress: {rules: [{match: fc1.wieght, gradient: none}]}"),
            "compress.rules.0.match: 'fc1.wieght' matches no parameter; the "
            "nearest is 'fc1.weight'");
  EXPECT_EQ(ErrorOf(kModel + "quantize: {rules: [{match: fc1.*, weights: none},"
                             " {match: fc3.bias, weights: none}]}"),
            "quantize.rules.1.match: 'fc3.bias' matches no weight of a layer; "
            "the nearest is 'fc3.weight'");
  // Buffers are no parameters.
  EXPECT_THAT(ErrorOf(kModel + "compress: {rules: [{match: '*.running_*', "
                               "gradient: none}]}"),
              testing::HasSubstr("matches no parameter"));
}

// "weights", "codes" or "sum" of fc1.weight, of 78400 elements.
std::string DownOf(const std::string& more) {
  const Plan plan = PlanOf(kModel + more);
  const TensorPlan& tensor = Tensor(plan, "fc1.weight");
  EXPECT_FALSE(Tensor(plan, "fc1.weight").sum_down &&
               tensor.quantizer != nullptr);
  // Small tensors are not compressed and come down as they are.
  EXPECT_FALSE(Tensor(plan, "bn1.weight").sum_down);
  if (tensor.quantizer != nullptr) return "codes";
  return tensor.sum_down ? "sum" : "weights";
}

TEST(PlanTest, TheSumComesDownWhereItIsHalfAsLongAsTheWeights) {
  const std::string eight = "cluster: {workers: 8}\n";
  EXPECT_EQ(DownOf(""), "weights");
  EXPECT_EQ(DownOf("compress: {gradient: terngrad}\n"), "sum");
  EXPECT_EQ(DownOf("compress: {gradient: {kind: qsgd}}\n" + eight), "weights");
  EXPECT_EQ(DownOf("compress: {gradient: {kind: topk}}\n" + eight), "sum");
  const std::string shared = "gradient: {kind: terngrad, scale: shared}";
  for (const char* workers : {"1", "2", "127", "128", "4096"}) {
    EXPECT_EQ(DownOf("compress: {" + shared +
                     "}\ncluster: {workers: " + workers + "}\n"),
              "sum")
        << workers;
  }
  EXPECT_EQ(DownOf("compress: {down: weights, " + shared + "}\n"), "weights");
  EXPECT_EQ(DownOf("compress: {down: sum, gradient: qsgd}\n" + eight), "sum");
  EXPECT_EQ(DownOf("compress: {down: sum}\n"), "weights");
  EXPECT_EQ(DownOf("compress: {" + shared +
                   "}\nquantize: {weights: binaryconnect}\n"),
            "codes");
}

TEST(PlanTest, SumsAndSharedScalesNeedBsp) {
  const std::string ssp = "cluster: {mode: ssp}\n";
  EXPECT_EQ(DownOf("compress: {gradient: terngrad}\n" + ssp), "weights");
  EXPECT_THAT(ErrorOf(kModel + "compress: {down: sum}\n" + ssp),
              testing::HasSubstr("down: sum needs cluster.mode: bsp"));
  EXPECT_THAT(
      ErrorOf(kModel +
              "compress: {gradient: {kind: terngrad, scale: shared}}\n" + ssp),
      testing::HasSubstr("need cluster.mode: bsp"));
}

TEST(PlanTest, BlocksDoNotDependOnTheServers) {
  const std::string yaml = "model: {mlp: {hidden: [1000, 1000]}}\n";
  const Plan one = PlanOf(yaml);
  const Plan four = PlanOf(yaml + "cluster: {servers: 4}");
  ASSERT_EQ(one.blocks.size(), four.blocks.size());
  for (size_t b = 0; b < one.blocks.size(); ++b) {
    EXPECT_EQ(one.blocks[b].tensor, four.blocks[b].tensor);
    EXPECT_EQ(one.blocks[b].first_index, four.blocks[b].first_index);
    EXPECT_EQ(one.blocks[b].count, four.blocks[b].count);
    EXPECT_EQ(one.blocks[b].shard, 0);
  }
}

TEST(PlanTest, MoreServersThanBlocksIsAnError) {
  EXPECT_THAT(ErrorOf("model: {mlp: []}\ncluster: {servers: 3}"),
              testing::HasSubstr("has 2 blocks"));
}

std::vector<float> Initial(const Plan& plan, uint32_t block, uint64_t seed) {
  std::vector<float> values(plan.blocks[block].count);
  InitializeBlock(plan, block, seed, values);
  return values;
}

TEST(InitializeBlockTest, IsTheFunctionOfSeedTensorAndElement) {
  const Plan plan = PlanOf("model: {mlp: {hidden: [1000, 1000]}}");
  const uint32_t tensor = IndexOf(plan, "fc2.weight");
  ASSERT_GT(plan.tensors[tensor].block_count, 1);
  const uint32_t block = plan.tensors[tensor].first_block + 1;
  const std::vector<float> values = Initial(plan, block, 77);
  const uint64_t key = DrawKey(Draw::kInit, {77, tensor});
  const float max = plan.tensors[tensor].initial_max;
  for (uint32_t i = 0; i < values.size(); i += 997) {
    const float unit = RandomUnit(key, plan.blocks[block].first_index + i);
    ASSERT_EQ(values[i], max * (2 * unit - 1));
  }
  EXPECT_NE(values, Initial(plan, block, 78));
  EXPECT_NE(values, Initial(plan, block - 1, 77));
}

TEST(InitializeBlockTest, WeightsAreUniform) {
  const Plan plan = PlanOf(kModel + "quantize: {weights: binaryconnect}");
  const std::vector<float> values =
      Initial(plan, Tensor(plan, "fc1.weight").first_block, 1);
  double sum = 0, square_sum = 0;
  for (const float value : values) {
    ASSERT_GE(value, -1);
    ASSERT_LT(value, 1);
    sum += value;
    square_sum += double(value) * value;
  }
  // 78400 draws: four standard errors of the mean and of the variance 1/3.
  const double n = double(values.size());
  EXPECT_NEAR(sum / n, 0, 4 * std::sqrt(1.0 / 3 / n));
  EXPECT_NEAR(square_sum / n, 1.0 / 3, 4 * std::sqrt(4.0 / 45 / n));
}

TEST(InitializeBlockTest, OtherTensorsAreConstant) {
  const Plan plan = PlanOf(kModel);
  const auto first = [&](const std::string& name) {
    const std::vector<float> values =
        Initial(plan, Tensor(plan, name).first_block, 1);
    EXPECT_EQ(values, std::vector<float>(values.size(), values[0]));
    return values[0];
  };
  EXPECT_EQ(first("bn1.weight"), 1);
  EXPECT_EQ(first("bn1.bias"), 0);
  EXPECT_EQ(first("bn1.running_mean"), 0);
  EXPECT_EQ(first("bn1.running_var"), 1);
  EXPECT_EQ(first("fc3.bias"), 0);
}

TEST(PlanTest, RowsAreExpectedAsBackwardLeavesThem) {
  const Plan plan = PlanOf(
      "model: {mlp: {hidden: [500, 500], batch_norm: false}}\n"
      "data: mnist\n"
      "quantize: {backward: {kind: meprop, ratio: 0.05, unified: true}}\n"
      "compress: {gradient: rows, small_tensor_elements: 0}");
  const auto share = [&](const char* name) {
    const TensorPlan& tensor = Tensor(plan, name);
    const BlockSpec& block = plan.blocks[tensor.first_block];
    EXPECT_EQ(block.count % tensor.row_elements, 0);
    return static_cast<double>(tensor.codec->TypicalEncodedBytes(block.count)) /
           (sizeof(float) * block.count);
  };
  EXPECT_NEAR(share("fc1.weight"), 0.05, 0.003);
  EXPECT_NEAR(share("fc2.weight"), 0.05, 0.003);
  // Nothing is left out of the last layer's and of biases.
  EXPECT_NEAR(share("fc3.weight"), 1, 0.01);
}

TEST(PlanTest, FactorsAreForMatricesThatTheyMakeShorter) {
  const Plan plan = PlanOf(
      "model: {mlp: {hidden: [600, 4], batch_norm: false}}\n"
      "data: mnist\n"
      "compress: {small_tensor_elements: 0, gradient: {kind: powersgd, rank: "
      "4, "
      "error_feedback: true}}");
  const TensorPlan& first = Tensor(plan, "fc1.weight");
  EXPECT_EQ(first.low_rank.rows, 600);
  EXPECT_EQ(first.low_rank.columns, 784);
  EXPECT_EQ(first.low_rank.rank, 4);
  // One block, however large.
  EXPECT_EQ(first.block_count, 1);
  EXPECT_TRUE(first.sum_down);
  EXPECT_TRUE(first.error_feedback);
  for (const char* name : {"fc1.bias", "fc2.weight", "fc3.weight"}) {
    const TensorPlan& tensor = Tensor(plan, name);
    EXPECT_FALSE(tensor.low_rank.any()) << name;
    EXPECT_FALSE(tensor.error_feedback) << name;
    EXPECT_EQ(CodecOf(plan, name), kRaw) << name;
  }
}

TEST(PlanTest, FactorsNeedBspAndTheServersMomentum) {
  const std::string codec = "compress: {gradient: {kind: powersgd";
  EXPECT_NE(ErrorOf(kModel + codec + "}}\ncluster: {mode: async}")
                .find("powersgd needs cluster.mode: bsp"),
            std::string::npos);
  EXPECT_NE(ErrorOf(kModel + codec +
                    ", error_feedback: true, momentum_correction: 0.9}}")
                .find("optimizer.momentum"),
            std::string::npos);
}

TEST(PlanTest, TheEndsAreQuantizedAsTheMethodsPaperHasIt) {
  const auto quantized = [](const std::string& options) {
    const Plan plan = PlanOf(kModel + "quantize: {" + options + "}");
    std::string names;
    for (const char* name : {"fc1.weight", "fc2.weight", "fc3.weight"}) {
      names += Tensor(plan, name).quantizer != nullptr ? 'q' : '-';
    }
    return names;
  };
  for (const char* kind : {"bwn", "dorefa", "ttq"}) {
    EXPECT_EQ(quantized(absl::StrCat("weights: ", kind)), "-q-") << kind;
  }
  for (const char* kind : {"binaryconnect", "twn", "balanced", "term"}) {
    const std::string bits = std::string(kind) == "term" ? ":bits=4" : "";
    EXPECT_EQ(quantized(absl::StrCat("weights: ", kind, bits)), "qqq") << kind;
  }
  EXPECT_EQ(quantized("weights: bwn, ends: quantized"), "qqq");
  EXPECT_EQ(quantized("weights: twn, ends: full"), "-q-");
  // A rule comes before.
  EXPECT_EQ(quantized("weights: bwn, rules: [{match: fc1.*, weights: twn}, "
                      "{match: fc2.*, weights: none}]"),
            "q--");
}

}  // namespace
}  // namespace terse
