#include <string>

#include "common/config/job.h"
#include "common/config/schema.h"
#include "gmock/gmock.h"
#include "google/protobuf/util/message_differencer.h"
#include "gtest/gtest.h"
#include "tests/unit/common/config/random_job.h"

namespace terse {
namespace {

using ::google::protobuf::util::MessageDifferencer;

TEST(PrintJobTest, PrintsEveryFieldWithItsDefault) {
  const absl::StatusOr<Job> job = ParseJob(
      "model:\n  layers: [conv: {filters: 4}, batch_norm, linear: 10]\n"
      "compress: {gradient: qsgd, rules: [{match: fc*, gradient: none}]}\n"
      "train: {steps: 5}\n",
      "job.yaml", {});
  ASSERT_TRUE(job.ok()) << job.status();
  EXPECT_EQ(PrintJob(*job), R"(name: "job"
seed: 1
model:
  layers:
    - conv:
        filters: 4
        kernel: 3
        stride: 1
        padding: 0
    - batch_norm:
        epsilon: 1e-04
        momentum: 0.1
    - linear:
        outputs: 10
  loss: cross_entropy
data:
  kind: digits
  train_samples: 20000
  test_samples: 4000
quantize:
  weights:
    kind: none
  activations:
    kind: none
  rules: []
  ends: paper
  rule: bc
  update_scale: auto
  activation_rules: []
  backward:
    kind: none
    full_epochs: 0
  backward_rules: []
compress:
  gradient:
    kind: qsgd
    levels: 7
    bucket: 512
    norm: max
    error_feedback: false
    residual_decay: 1
    momentum_correction: 0
    local_clip_norm: 0
    coding: fixed
    scale: own
    scale_max: 0.01
    nan: error
  small_tensor_elements: 8192
  rules:
    - match: "fc*"
      gradient:
        kind: none
        error_feedback: false
        residual_decay: 1
        momentum_correction: 0
        local_clip_norm: 0
        nan: error
  down: auto
  auto:
    candidates: []
    check_every_seconds: 60
    choices: []
optimizer:
  kind: sgd
  learning_rate: 0.01
  momentum: 0
  nesterov: false
  weight_decay: 0
  schedule:
    kind: constant
    warmup_epochs: 0
clip:
  value: 0
  global_norm: 0
train:
  steps: 5
  batch_size: 100
  evaluate_every_epochs: 1
cluster:
  servers: 1
  workers: 2
  transport: grpc
  mode: bsp
  staleness_steps_max: 4
  threads_per_worker: 1
  join_timeout_seconds: 300
  peer_timeout_seconds: 80
  step_timeout_seconds: 1800
  on_worker_loss: wait
  rejoin_timeout_seconds: 60
  backup_workers: 0
  replicas: 0
  device: auto
checkpoint:
  every_steps: 0
  every_seconds: 300
  keep_last: 2
  keep_best: false
)");
}

TEST(PrintJobTest, EscapesWhatDoesNotPrint) {
  Job job;
  job.set_name("a\"b\\c\nd\x7f\xc3\xa9");
  EXPECT_THAT(PrintJob(job),
              testing::StartsWith("name: \"a\\\"b\\\\c\\x0ad\\x7f\xc3\xa9\""));
}

TEST(PrintJobTest, WhatItPrintsReadsBackEqual) {
  int with_mlp = 0;
  for (uint64_t seed = 0; seed < 2000; ++seed) {
    Job job = RandomJob(seed);
    // A name has rules that other strings have not.
    job.set_name("n" + std::to_string(seed));
    const std::string text = PrintJob(job);
    const absl::StatusOr<Job> read = ParseJob(text, "printed", {});
    ASSERT_TRUE(read.ok()) << "seed " << seed << ": " << read.status() << "\n"
                           << text;
    ASSERT_EQ(PrintJob(*read), text) << "seed " << seed;
    FillDefaults(job);
    std::string difference;
    MessageDifferencer differencer;
    differencer.ReportDifferencesToString(&difference);
    ASSERT_TRUE(differencer.Compare(job, *read))
        << "seed " << seed << ": " << difference;
    with_mlp += job.model().has_mlp();
  }
  EXPECT_GT(with_mlp, 200);
  EXPECT_LT(with_mlp, 1800);
}

TEST(PrintJobTest, PrintingTwiceChangesNothing) {
  for (uint64_t seed = 0; seed < 100; ++seed) {
    const Job job = RandomJob(seed);
    EXPECT_EQ(PrintJob(job), PrintJob(job));
  }
}

}  // namespace
}  // namespace terse
