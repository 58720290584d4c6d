#include <string>
#include <vector>

#include "common/base/status.h"
#include "common/config/job.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace terse {
namespace {

constexpr char kYaml[] = R"(model:
  layers:
    - conv: {filters: 4}
    - activation
    - linear: 10
compress:
  gradient:
    kind: terngrad
    clip_sigmas: 3
  rules:
    - match: fc1.*
      gradient: topk
quantize: {weights: binaryconnect}
optimizer: sgd
train: {epochs: 3}
)";

Job Parse(const std::vector<std::string>& overrides) {
  const absl::StatusOr<Job> job = ParseJob(kYaml, "job.yaml", overrides);
  EXPECT_TRUE(job.ok()) << job.status();
  return job.ok() ? *job : Job();
}

std::string ErrorOf(const std::vector<std::string>& overrides) {
  const absl::StatusOr<Job> job = ParseJob(kYaml, "job.yaml", overrides);
  EXPECT_FALSE(job.ok());
  EXPECT_EQ(ExitCodeOf(job.status()), ExitCode::kBadJob);
  const std::string message(job.status().message());
  EXPECT_EQ(message.find('\n'), message.npos) << message;
  return message;
}

TEST(OverrideTest, SetsScalarsOverTheFileAndOverNothing) {
  const Job job =
      Parse({"train.epochs=7", "train.batch_size=32", "cluster.workers=5"});
  EXPECT_EQ(job.train().epochs(), 7);
  EXPECT_EQ(job.train().batch_size(), 32);
  EXPECT_EQ(job.cluster().workers(), 5);
}

TEST(OverrideTest, TheLastOfTwoWins) {
  EXPECT_EQ(Parse({"seed=1", "seed=2"}).seed(), 2);
}

TEST(OverrideTest, GoesThroughListsByIndex) {
  const Job job =
      Parse({"model.layers.0.conv.filters=8", "model.layers.2=linear: 20",
             "compress.rules.0.match=conv1.weight"});
  EXPECT_EQ(job.model().layers(0).conv().filters(), 8);
  EXPECT_EQ(job.model().layers(2).linear().outputs(), 20);
  EXPECT_EQ(job.compress().rules(0).match(), "conv1.weight");
}

TEST(OverrideTest, WritesShorthandsOutOnItsWay) {
  const Job job =
      Parse({"optimizer.momentum=0.5", "model.layers.1.activation.kind=tanh",
             "model.layers.2.linear.bias=false",
             "compress.rules.0.gradient.ratio=0.5"});
  EXPECT_EQ(job.optimizer().kind(), Optimizer::SGD);
  EXPECT_EQ(job.optimizer().momentum(), 0.5f);
  EXPECT_EQ(job.model().layers(1).activation().kind(), Activation::TANH);
  EXPECT_EQ(job.model().layers(2).linear().outputs(), 10);
  EXPECT_FALSE(job.model().layers(2).linear().bias());
  EXPECT_EQ(job.compress().rules(0).gradient().kind(), GradientCodec::TOPK);
  EXPECT_EQ(job.compress().rules(0).gradient().ratio(), 0.5f);
}

TEST(OverrideTest, AScalarReplacesAWholeMessage) {
  const Job job = Parse({"compress.gradient=none", "quantize.weights=none"});
  EXPECT_EQ(job.compress().gradient().kind(), GradientCodec::NONE);
  EXPECT_FALSE(job.compress().gradient().has_clip_sigmas());
  EXPECT_EQ(job.quantize().weights().kind(), WeightQuantization::NONE);
}

TEST(OverrideTest, AMappingReplacesAWholeMessage) {
  const Job job = Parse({"compress.gradient={kind: qsgd, levels: 3}"});
  EXPECT_EQ(job.compress().gradient().kind(), GradientCodec::QSGD);
  EXPECT_EQ(job.compress().gradient().levels(), 3);
}

TEST(OverrideTest, ACodecMayBeOneText) {
  const Job job = Parse({"compress.gradient=qsgd:levels=1,bucket=64"});
  EXPECT_EQ(job.compress().gradient().levels(), 1);
  EXPECT_EQ(job.compress().gradient().bucket(), 64);
}

TEST(OverrideTest, NothingBringsTheDefaultBack) {
  const Job job = Parse({"compress.gradient.clip_sigmas=null",
                         "optimizer=", "compress.rules=[]"});
  EXPECT_EQ(job.compress().gradient().clip_sigmas(), 2.5f);
  EXPECT_EQ(job.optimizer().kind(), Optimizer::SGD);
  EXPECT_EQ(job.compress().rules_size(), 0);
}

TEST(OverrideTest, DropsTheFilesAlternative) {
  const Job steps = Parse({"train.steps=100"});
  EXPECT_EQ(steps.train().steps(), 100);
  EXPECT_FALSE(steps.train().has_epochs());
  const Job mlp = Parse({"model.mlp=[32]"});
  EXPECT_EQ(mlp.model().layers_size(), 0);
  EXPECT_EQ(mlp.model().mlp().hidden(0), 32);
}

TEST(OverrideTest, TwoOverridesMayContradictEachOther) {
  EXPECT_THAT(ErrorOf({"train.steps=100", "train.epochs=1"}),
              testing::HasSubstr("gives both epochs and steps"));
}

TEST(OverrideTest, ErrorsNameTheOverride) {
  EXPECT_EQ(ErrorOf({"train.batchsize=3"}),
            "--set train.batchsize=3: train.batchsize: unknown key; did you "
            "mean 'batch_size'? (one of epochs, steps, batch_size, "
            "evaluate_every_epochs)");
  EXPECT_EQ(ErrorOf({"train.batch_size=many"}),
            "--set train.batch_size=many: train.batch_size: expects a whole "
            "number from 1 to 1000000, not 'many'");
  EXPECT_EQ(ErrorOf({"seed"}),
            "--set seed: expects key=value, like train.batch_size=32");
  EXPECT_EQ(ErrorOf({"=3"}),
            "--set =3: expects key=value, like train.batch_size=32");
  EXPECT_EQ(ErrorOf({"seed.x=3"}),
            "--set seed.x=3: seed.x: there are no keys below a scalar");
  EXPECT_EQ(ErrorOf({"model.layers.3.linear=1"}),
            "--set model.layers.3.linear=1: model.layers.3: expects an index "
            "from 0 to 2");
  EXPECT_EQ(ErrorOf({"model.layers.x=1"}),
            "--set model.layers.x=1: model.layers.x: expects an index from 0 "
            "to 2");
  EXPECT_EQ(ErrorOf({"quantize.rules.0.match=a"}),
            "--set quantize.rules.0.match=a: quantize.rules.0: the list is "
            "empty");
  EXPECT_EQ(ErrorOf({"model.layers.0="}),
            "--set model.layers.0=: model.layers.0: an item of a list has no "
            "default");
  EXPECT_EQ(ErrorOf({"compress.gradient.levels=3"}),
            "--set compress.gradient.levels=3: compress.gradient.levels: goes "
            "with kind qsgd only, but kind is terngrad");
  EXPECT_THAT(ErrorOf({"seed=[1"}), testing::StartsWith("--set seed=[1: "));
  EXPECT_THAT(ErrorOf({"seed=1\n2"}), testing::StartsWith("--set seed=1?2: "));
  EXPECT_THAT(ErrorOf({"a\nb=1"}),
              testing::StartsWith("--set a?b=1: a?b: unknown key"));
  EXPECT_THAT(ErrorOf({"model.layers.a\nb=1"}),
              testing::HasSubstr("model.layers.a?b: expects an index"));
  EXPECT_THAT(ErrorOf({"..=1"}), testing::StartsWith("--set ..=1: "));
}

TEST(OverrideTest, AnOverrideMayMakeTheFilesOptionWrong) {
  EXPECT_EQ(ErrorOf({"compress.gradient.kind=fp16"}),
            "job.yaml:9:5: compress.gradient.clip_sigmas: goes with kind "
            "terngrad only, but kind is fp16");
}

}  // namespace
}  // namespace terse
