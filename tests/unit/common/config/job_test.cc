#include "common/config/job.h"

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>

#include "common/base/limits.h"
#include "common/base/status.h"
#include "gmock/gmock.h"
#include "google/protobuf/util/message_differencer.h"
#include "gtest/gtest.h"

namespace terse {
namespace {

using ::google::protobuf::util::MessageDifferencer;

Job Parse(const std::string& yaml,
          const std::vector<std::string>& overrides = {}) {
  const absl::StatusOr<Job> job = ParseJob(yaml, "job.yaml", overrides);
  EXPECT_TRUE(job.ok()) << job.status();
  return job.ok() ? *job : Job();
}

constexpr char kSmall[] = "model: {mlp: [8]}\ntrain: {epochs: 1}\n";

TEST(JobTest, ReadsEveryKindOfValue) {
  const Job job = Parse(R"(
name: "first: job"
seed: 18446744073709551615
model:
  loss: squared_hinge
  mlp:
    hidden: [16, 8]
    batch_norm: false
    dropout: 0.25
train:
  steps: 1000000000000
  batch_size: 7
)");
  EXPECT_EQ(job.name(), "first: job");
  EXPECT_EQ(job.seed(), 18446744073709551615u);
  EXPECT_EQ(job.model().loss(), Model::SQUARED_HINGE);
  EXPECT_THAT(job.model().mlp().hidden(), testing::ElementsAre(16, 8));
  EXPECT_FALSE(job.model().mlp().batch_norm());
  EXPECT_EQ(job.model().mlp().dropout(), 0.25f);
  EXPECT_EQ(job.train().steps(), 1000000000000u);
  EXPECT_EQ(job.train().batch_size(), 7);
}

TEST(JobTest, FillsInTheDefaults) {
  const Job job = Parse(kSmall);
  EXPECT_TRUE(job.has_seed());
  EXPECT_EQ(job.seed(), 1);
  EXPECT_TRUE(job.data().has_train_samples());
  EXPECT_EQ(job.data().train_samples(), 20000);
  EXPECT_TRUE(job.optimizer().schedule().has_kind());
  EXPECT_EQ(job.cluster().transport(), Cluster::GRPC);
  // What goes with another kind stays away.
  EXPECT_FALSE(job.optimizer().has_beta1());
  EXPECT_FALSE(job.compress().gradient().has_levels());
  EXPECT_FALSE(job.train().has_steps());
}

TEST(JobTest, TakesShorthands) {
  const Job job = Parse(R"(
model:
  layers:
    - conv: {filters: 4}
    - batch_norm
    - activation
    - activation: tanh
    - max_pool
    - average_pool: 3
    - dropout: 0.1
    - linear: 10
data: cifar10
quantize: {weights: binaryconnect, activations: bnn}
compress: {gradient: terngrad}
optimizer: adam
train: {epochs: 1}
)");
  ASSERT_EQ(job.model().layers_size(), 8);
  EXPECT_EQ(job.model().layers(0).conv().filters(), 4);
  EXPECT_EQ(job.model().layers(0).conv().kernel(), 3);
  EXPECT_FALSE(job.model().layers(0).conv().has_bias());
  EXPECT_TRUE(job.model().layers(1).has_batch_norm());
  EXPECT_EQ(job.model().layers(2).activation().kind(), Activation::RELU);
  EXPECT_EQ(job.model().layers(3).activation().kind(), Activation::TANH);
  EXPECT_EQ(job.model().layers(4).max_pool().size(), 2);
  EXPECT_EQ(job.model().layers(5).average_pool().size(), 3);
  EXPECT_EQ(job.model().layers(6).dropout().probability(), 0.1f);
  EXPECT_EQ(job.model().layers(7).linear().outputs(), 10);
  EXPECT_EQ(job.data().kind(), Data::CIFAR10);
  EXPECT_EQ(job.quantize().weights().kind(), WeightQuantization::BINARYCONNECT);
  EXPECT_EQ(job.quantize().activations().kind(), ActivationQuantization::BNN);
  EXPECT_EQ(job.compress().gradient().kind(), GradientCodec::TERNGRAD);
  EXPECT_EQ(job.compress().gradient().clip_sigmas(), 2.5f);
  EXPECT_EQ(job.optimizer().kind(), Optimizer::ADAM);
}

TEST(JobTest, ANetworkWithoutHiddenLayersIsOne) {
  const Job job = Parse("model: {mlp: []}\ntrain: {epochs: 1}\n");
  EXPECT_TRUE(job.model().has_mlp());
  EXPECT_EQ(job.model().mlp().hidden_size(), 0);
}

TEST(JobTest, AnEmptySectionIsAllDefaults) {
  const Job job = Parse(std::string(kSmall) + "quantize:\ncompress:\n  # no\n");
  EXPECT_EQ(job.compress().gradient().kind(), GradientCodec::NONE);
}

TEST(JobTest, ACodecMayBeOneText) {
  const Job job =
      Parse(std::string(kSmall) +
            "compress:\n  gradient: qsgd:levels=3,bucket=64,norm=l2\n");
  EXPECT_EQ(job.compress().gradient().kind(), GradientCodec::QSGD);
  EXPECT_EQ(job.compress().gradient().levels(), 3);
  EXPECT_EQ(job.compress().gradient().bucket(), 64);
  EXPECT_EQ(job.compress().gradient().norm(), GradientCodec::L2);
}

TEST(JobTest, ReadsNumbersThatADecimalPointMayBeMissingFrom) {
  const std::string yaml = std::string(kSmall) + "optimizer: {learning_rate: ";
  EXPECT_EQ(Parse(yaml + "1}").optimizer().learning_rate(), 1.0f);
  EXPECT_EQ(Parse(yaml + "+.5}").optimizer().learning_rate(), 0.5f);
  EXPECT_EQ(Parse(yaml + "5.}").optimizer().learning_rate(), 5.0f);
  EXPECT_EQ(Parse(yaml + "1e-3}").optimizer().learning_rate(), 1e-3f);
  EXPECT_EQ(Parse(yaml + "1E+2}").optimizer().learning_rate(), 100.0f);
  // The smallest number above zero that a float holds.
  EXPECT_EQ(Parse(yaml + "1.4e-45}").optimizer().learning_rate(), 0x1p-149f);
}

TEST(JobTest, OneDocumentMayBeMarked) {
  EXPECT_EQ(Parse(std::string("---\n") + kSmall).train().epochs(), 1);
  EXPECT_EQ(Parse(std::string(kSmall) + "...\n").train().epochs(), 1);
  EXPECT_EQ(Parse(std::string("\xef\xbb\xbf") + kSmall).train().epochs(), 1);
}

TEST(JobTest, LinesMayEndAsOnWindows) {
  EXPECT_EQ(Parse("model:\r\n  mlp: [4]\r\ntrain:\r\n  epochs: 3\r\n")
                .train()
                .epochs(),
            3);
}

class JobFileTest : public testing::Test {
 protected:
  std::string path_ = testing::TempDir() + "/job_file_test.yaml";
  void TearDown() override { std::filesystem::remove(path_); }
};

TEST_F(JobFileTest, ReadsAFile) {
  std::ofstream(path_) << kSmall;
  const absl::StatusOr<Job> job = ReadJobFile(path_, {"seed=5"});
  ASSERT_TRUE(job.ok()) << job.status();
  EXPECT_EQ(job->seed(), 5);
  EXPECT_TRUE(MessageDifferencer::Equals(*job, Parse(kSmall, {"seed=5"})));
}

TEST_F(JobFileTest, AMissingFileHasItsOwnExitCode) {
  const absl::Status status = ReadJobFile("/no/such.yaml", {}).status();
  EXPECT_EQ(ExitCodeOf(status), ExitCode::kInputMissing);
  EXPECT_THAT(std::string(status.message()),
              testing::StartsWith("/no/such.yaml: no such job file"));
}

TEST_F(JobFileTest, AFolderIsNoFile) {
  const absl::Status status = ReadJobFile(testing::TempDir(), {}).status();
  EXPECT_EQ(ExitCodeOf(status), ExitCode::kInputMissing);
  EXPECT_THAT(std::string(status.message()), testing::HasSubstr("folder"));
}

TEST_F(JobFileTest, AFileAboveTheLimitIsRefused) {
  std::ofstream(path_) << kSmall << std::string(kJobFileBytesMax, ' ');
  const absl::Status status = ReadJobFile(path_, {}).status();
  EXPECT_EQ(ExitCodeOf(status), ExitCode::kBadJob);
  EXPECT_EQ(std::string(status.message()),
            path_ + ":1:1: larger than the limit of 1048576 bytes");
}

TEST_F(JobFileTest, ADeviceWithoutAnEndIsRefused) {
  const absl::Status status = ReadJobFile("/dev/zero", {}).status();
  EXPECT_EQ(ExitCodeOf(status), ExitCode::kBadJob);
}

TEST(ParseCodecTest, ReadsNameAndOptions) {
  const absl::StatusOr<GradientCodec> codec =
      ParseCodec("qsgd:levels=7,bucket=512");
  ASSERT_TRUE(codec.ok()) << codec.status();
  EXPECT_EQ(codec->kind(), GradientCodec::QSGD);
  EXPECT_EQ(codec->levels(), 7);
  EXPECT_EQ(codec->bucket(), 512);
  EXPECT_EQ(ParseCodec("none")->kind(), GradientCodec::NONE);
  EXPECT_TRUE(
      ParseCodec("topk:ratio=0.5,error_feedback=true")->error_feedback());
}

TEST(ParseCodecTest, NamesWhatIsWrong) {
  const auto message = [](const std::string& text) {
    const absl::Status status = ParseCodec(text).status();
    EXPECT_EQ(ExitCodeOf(status), ExitCode::kBadJob) << text;
    return std::string(status.message());
  };
  EXPECT_THAT(message("qsg"),
              testing::StartsWith("codec 'qsg': unknown value 'qsg'; did you "
                                  "mean 'qsgd'? (one of none, fp16, "));
  EXPECT_EQ(message("qsgd:levels=0"),
            "codec 'qsgd:levels=0': levels: expects a whole number from 1 to "
            "32767, not '0'");
  EXPECT_THAT(message("qsgd:level=3"),
              testing::StartsWith("codec 'qsgd:level=3': level: unknown key; "
                                  "did you mean 'levels'? (one of kind, "));
  EXPECT_EQ(message("terngrad:levels=3"),
            "codec 'terngrad:levels=3': levels: goes with kind qsgd only, but "
            "kind is terngrad");
  EXPECT_EQ(message("qsgd:levels"),
            "codec 'qsgd:levels': expects name:option=value,..., not "
            "'qsgd:levels'");
  EXPECT_EQ(message("qsgd:levels=1,levels=2"),
            "codec 'qsgd:levels=1,levels=2': gives 'levels' twice");
  EXPECT_NE(message("qsgd:"), "");
  EXPECT_NE(message(""), "");
  EXPECT_NE(message("qsgd:kind=topk"), "");
  EXPECT_NE(message("{kind: qsgd}"), "");
}

}  // namespace
}  // namespace terse
