// One test for each way a job file can be wrong; the texts are what users see.
#include <string>
#include <utility>
#include <vector>

#include "common/base/limits.h"
#include "common/base/status.h"
#include "common/config/job.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace terse {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

// The one line that refuses `yaml`.
std::string ErrorOf(const std::string& yaml) {
  const absl::StatusOr<Job> job = ParseJob(yaml, "job.yaml", {});
  EXPECT_FALSE(job.ok()) << yaml;
  EXPECT_EQ(ExitCodeOf(job.status()), ExitCode::kBadJob);
  std::string message(job.status().message());
  EXPECT_EQ(message.find('\n'), message.npos) << message;
  EXPECT_THAT(message, StartsWith("job.yaml:"));
  return message;
}

// A good job that begins with `lines`.
std::string With(const std::string& lines) {
  return lines + "\nmodel: {mlp: [8]}\ntrain: {epochs: 1}\n";
}

TEST(JobErrorTest, UnknownKey) {
  EXPECT_EQ(ErrorOf(With("compress:\n  gradiant: terngrad")),
            "job.yaml:2:3: compress.gradiant: unknown key; did you mean "
            "'gradient'? (one of gradient, small_tensor_elements, rules, "
            "down, auto)");
  EXPECT_EQ(ErrorOf(With("learning_rate: 1")),
            "job.yaml:1:1: learning_rate: unknown key (one of name, seed, "
            "model, data, quantize, compress, optimizer, clip, train, "
            "cluster, checkpoint)");
}

TEST(JobErrorTest, UnknownKeyInAList) {
  EXPECT_THAT(ErrorOf("model:\n  layers:\n    - linear: 4\n    - conv:\n"
                      "        filter: 3\ntrain: {epochs: 1}"),
              StartsWith("job.yaml:5:9: model.layers.1.conv.filter: unknown "
                         "key; did you mean 'filters'?"));
}

TEST(JobErrorTest, DuplicateKey) {
  EXPECT_EQ(ErrorOf(With("seed: 1\nname: a\nseed: 2")),
            "job.yaml:3:1: duplicate key 'seed'; it stands in line 1 already");
}

TEST(JobErrorTest, WrongType) {
  EXPECT_EQ(ErrorOf(With("seed: many")),
            "job.yaml:1:7: seed: expects a whole number from 0 to "
            "18446744073709551615, not 'many'");
  EXPECT_EQ(ErrorOf(With("seed: '1'")),
            "job.yaml:1:7: seed: expects a whole number from 0 to "
            "18446744073709551615, not '1'");
  EXPECT_EQ(ErrorOf(With("seed: [1]")),
            "job.yaml:1:7: seed: expects a whole number, not a list");
  EXPECT_EQ(ErrorOf(With("seed:")),
            "job.yaml:1:1: seed: expects a whole number, not nothing");
  EXPECT_EQ(ErrorOf(With("name: {a: 1}")),
            "job.yaml:1:7: name: expects a string, not a mapping");
  EXPECT_EQ(ErrorOf(With("cluster: 3")),
            "job.yaml:1:10: cluster: expects a mapping (keys servers, workers, "
            "transport, mode, staleness_steps_max, threads_per_worker, "
            "join_timeout_seconds, peer_timeout_seconds, "
            "step_timeout_seconds, on_worker_loss, rejoin_timeout_seconds, "
            "backup_workers, replicas, device), not '3'");
  EXPECT_EQ(ErrorOf("model: {mlp: {hidden: 8}}\ntrain: {epochs: 1}"),
            "job.yaml:1:23: model.mlp.hidden: expects a list, not '8'");
  EXPECT_EQ(ErrorOf("model: {mlp: [8, x]}\ntrain: {epochs: 1}"),
            "job.yaml:1:18: model.mlp.1: expects a whole number from 1 to "
            "1048576, not 'x'");
  EXPECT_EQ(ErrorOf("model:\n  mlp: {hidden: [8], batch_norm: yes}\n"),
            "job.yaml:2:34: model.mlp.batch_norm: expects true or false, not "
            "'yes'");
}

TEST(JobErrorTest, OutOfRange) {
  EXPECT_EQ(ErrorOf(With("cluster: {workers: 0}")),
            "job.yaml:1:20: cluster.workers: expects a whole number from 1 to "
            "4096, not '0'");
  EXPECT_EQ(ErrorOf(With("optimizer: {momentum: 1}")),
            "job.yaml:1:23: optimizer.momentum: expects a number of at least 0 "
            "and below 1, not '1'");
  EXPECT_EQ(ErrorOf(With("optimizer: {learning_rate: 0}")),
            "job.yaml:1:28: optimizer.learning_rate: expects a number above 0 "
            "and at most 1000, not '0'");
  EXPECT_EQ(ErrorOf(With("clip: {value: -1}")),
            "job.yaml:1:15: clip.value: expects a number of at least 0, not "
            "'-1'");
  // Rounded to a float it is the 1 that is not allowed.
  EXPECT_THAT(ErrorOf(With("optimizer: {momentum: 0.999999999}")),
              HasSubstr("below 1"));
}

TEST(JobErrorTest, NumbersThatAreNone) {
  for (const char* text :
       {".nan",  ".inf",  "-.inf", "nan", "inf",  "infinity", "0x10",  "0x1p3",
        "1_000", "1e",    "e5",    ".",   "-",    "--1",      "1.2.3", "010",
        "00.5",  "1 000", "1,5",   "~",   "null", "true",     "0b1",   "0o7"}) {
    ErrorOf(With(std::string("optimizer: {learning_rate: ") + text + "}"));
    ErrorOf(With(std::string("cluster: {workers: ") + text + "}"));
  }
  for (const char* text : {"1.5", "1e3", "2.", "-0", "-1"}) {
    ErrorOf(With(std::string("cluster: {workers: ") + text + "}"));
  }
}

TEST(JobErrorTest, NumbersThatDoNotFit) {
  EXPECT_THAT(ErrorOf(With("seed: 18446744073709551616")),
              HasSubstr("from 0 to 18446744073709551615, not "
                        "'18446744073709551616'"));
  EXPECT_THAT(ErrorOf(With("compress: {small_tensor_elements: 4294967296}")),
              HasSubstr("from 0 to 4294967295, not '4294967296'"));
  for (const char* text : {"1e39", "1e999999", "1e-60", "-1e39"}) {
    EXPECT_THAT(ErrorOf(With(std::string("clip: {value: ") + text + "}")),
                HasSubstr("does not fit a 32-bit float"));
  }
  EXPECT_THAT(ErrorOf(With("seed: " + std::string(100000, '9'))),
              HasSubstr("999..."));
}

TEST(JobErrorTest, UnknownEnumerator) {
  EXPECT_THAT(ErrorOf(With("compress:\n  gradient: terngrda")),
              StartsWith("job.yaml:2:13: compress.gradient: unknown value "
                         "'terngrda'; did you mean 'terngrad'? (one of none, "
                         "fp16, terngrad, "));
  EXPECT_THAT(ErrorOf(With("compress: {gradient: {kind: TERNGRAD}}")),
              StartsWith("job.yaml:1:29: compress.gradient.kind: unknown value "
                         "'TERNGRAD' (one of none, fp16, terngrad, "));
}

TEST(JobErrorTest, OptionOfAnotherKind) {
  EXPECT_EQ(ErrorOf(With("compress:\n  gradient:\n    kind: terngrad\n"
                         "    levels: 7")),
            "job.yaml:4:5: compress.gradient.levels: goes with kind qsgd only, "
            "but kind is terngrad");
  EXPECT_EQ(ErrorOf(With("cluster: {mode: async, staleness_steps_max: 3}")),
            "job.yaml:1:24: cluster.staleness_steps_max: goes with mode ssp or "
            "bsp only, but mode is async");
  EXPECT_EQ(ErrorOf(With("data: {directory: x}")),
            "job.yaml:1:8: data.directory: goes with kind mnist or cifar10 "
            "or text only, but kind is digits");
  EXPECT_THAT(ErrorOf(With("optimizer: {kind: adam, nesterov: false}")),
              HasSubstr("optimizer.nesterov: goes with kind sgd only"));
}

TEST(JobErrorTest, Alternatives) {
  EXPECT_EQ(ErrorOf("model:\n  mlp: [8]\n  layers: [linear: 10]\n"
                    "train: {epochs: 1}"),
            "job.yaml:1:1: model: gives both mlp and layers; keep one");
  EXPECT_EQ(ErrorOf("model: {loss: squared_hinge}\ntrain: {epochs: 1}"),
            "job.yaml:1:1: model: gives neither mlp nor layers");
  EXPECT_EQ(ErrorOf("model: {layers: []}\ntrain: {epochs: 1}"),
            "job.yaml:1:1: model: gives neither mlp nor layers");
  EXPECT_EQ(ErrorOf("name: a\nmodel: {mlp: [8]}\n"
                    "train:\n  epochs: 1\n  steps: 1\n"),
            "job.yaml:3:1: train: gives both epochs and steps; keep one");
  EXPECT_EQ(ErrorOf("model: {mlp: [8]}"),
            "job.yaml:1:1: train: gives neither epochs nor steps");
}

TEST(JobErrorTest, Layers) {
  const auto with_layer = [](const std::string& layer) {
    return "model:\n  layers:\n    - " + layer + "\ntrain: {epochs: 1}\n";
  };
  EXPECT_EQ(ErrorOf(with_layer("{linear: 10, dropout: 0.5}")),
            "job.yaml:3:7: model.layers.0: expects one of conv, linear, "
            "batch_norm, activation, max_pool, average_pool, dropout, "
            "residual, embedding, position, lstm, attention, layer_norm, "
            "not a mapping of 2 keys");
  EXPECT_THAT(ErrorOf(with_layer("{}")), HasSubstr("a mapping of 0 keys"));
  EXPECT_THAT(ErrorOf(with_layer("[linear]")), HasSubstr("not a list"));
  EXPECT_THAT(ErrorOf(with_layer("")), HasSubstr("not nothing"));
  EXPECT_THAT(ErrorOf(with_layer("batchnorm")),
              StartsWith("job.yaml:3:7: model.layers.0.batchnorm: unknown key; "
                         "did you mean 'batch_norm'?"));
  EXPECT_EQ(ErrorOf(with_layer("conv")),
            "job.yaml:3:7: model.layers.0.conv: the key 'filters' is missing");
  EXPECT_EQ(ErrorOf(with_layer("linear")),
            "job.yaml:3:7: model.layers.0.linear: the key 'outputs' is "
            "missing");
  EXPECT_THAT(ErrorOf(with_layer("linear: many")),
              StartsWith("job.yaml:3:15: model.layers.0.linear: expects a "
                         "whole number from 1 to 1048576, not 'many'"));
}

TEST(JobErrorTest, MissingKeys) {
  EXPECT_EQ(ErrorOf("model:\n  mlp:\n    batch_norm: true\n"),
            "job.yaml:3:5: model.mlp: the key 'hidden' is missing");
  EXPECT_EQ(ErrorOf(With("quantize: {rules: [{match: a}]}")),
            "job.yaml:1:20: quantize.rules.0: the key 'weights' is missing");
  EXPECT_EQ(ErrorOf(With("compress: {rules: [{gradient: none}]}")),
            "job.yaml:1:20: compress.rules.0: the key 'match' is missing");
  EXPECT_THAT(ErrorOf(With("compress: {rules: [{match: '', gradient: none}]}")),
              StartsWith("job.yaml:1:21: compress.rules.0.match: is empty"));
}

TEST(JobErrorTest, RulesOverSeveralKeys) {
  EXPECT_EQ(ErrorOf(With("data: noise")),
            "job.yaml:1:1: data.shape: noise needs the shape of a sample: "
            "[channels, height, width] or [features], not a list of 0");
  EXPECT_THAT(ErrorOf(With("data: {kind: noise, shape: [2, 2]}")),
              StartsWith("job.yaml:1:21: data.shape: "));
  EXPECT_EQ(ErrorOf(With("optimizer:\n  kind: sgd\n  nesterov: true")),
            "job.yaml:3:3: optimizer.nesterov: needs a momentum above 0");
  EXPECT_EQ(ErrorOf(With("optimizer: {schedule: step}")),
            "job.yaml:1:13: optimizer.schedule: kind step needs "
            "milestones_epochs");
  EXPECT_EQ(ErrorOf(With("optimizer:\n  schedule:\n    kind: step\n"
                         "    milestones_epochs: [1, 3, 3]\n")),
            "job.yaml:4:31: optimizer.schedule.milestones_epochs.2: milestones "
            "must rise");
  EXPECT_THAT(ErrorOf(With("optimizer: {schedule: {kind: exponential, "
                           "final_learning_rate: 0}}")),
              HasSubstr("optimizer.schedule.final_learning_rate: kind "
                        "exponential never comes to 0"));
  const auto replicas = [](const std::string& cluster, const char* rest = "") {
    return ErrorOf(With("cluster: {replicas: 1, " + cluster + "}\n" + rest));
  };
  EXPECT_THAT(replicas("servers: 1"),
              HasSubstr("cluster.replicas: needs cluster.servers of 2"));
  EXPECT_THAT(replicas("servers: colocated"),
              HasSubstr("cluster.replicas: needs cluster.servers of 2"));
  EXPECT_THAT(replicas("servers: 2, mode: async"), HasSubstr("replicas"));
  EXPECT_THAT(replicas("servers: 2, transport: mpi"),
              HasSubstr("cluster.replicas: needs cluster.transport grpc"));
  EXPECT_THAT(replicas("servers: 2, on_worker_loss: continue"),
              HasSubstr("cluster.replicas: needs cluster.on_worker_loss wait"));
  EXPECT_THAT(replicas("servers: 2", "compress: {gradient: auto}"),
              HasSubstr("cluster.replicas: needs a compress.gradient other"));
  for (const char* name : {"''", "a/b", "..", "\"a\\nb\""}) {
    EXPECT_THAT(ErrorOf(With(std::string("name: ") + name)),
                StartsWith("job.yaml:1:1: name: "));
  }
}

TEST(JobErrorTest, NoMapping) {
  const std::string keys =
      " a mapping with the keys name, seed, model, data, quantize, compress, "
      "optimizer, clip, train, cluster, checkpoint";
  for (const char* text : {"", "\n\n", "# only a comment\n", "---\n", "~"}) {
    EXPECT_EQ(ErrorOf(text), "job.yaml:1:1: the file is empty; a job is" + keys)
        << text;
  }
  EXPECT_EQ(ErrorOf("hello"), "job.yaml:1:1: a job is not 'hello' but" + keys);
  EXPECT_EQ(ErrorOf("- a\n- b"),
            "job.yaml:1:1: a job is not a list but" + keys);
}

TEST(JobErrorTest, BadYaml) {
  EXPECT_EQ(ErrorOf("model:\n\tmlp: [8]\n"),
            "job.yaml:2:1: a tab in the indentation; YAML takes spaces only");
  EXPECT_THAT(ErrorOf("model: {mlp: [8]\ntrain: 1\n"),
              HasSubstr("not valid YAML: "));
  EXPECT_THAT(ErrorOf("model: 'open"), HasSubstr("not valid YAML: "));
  EXPECT_THAT(ErrorOf("a: b: c"), HasSubstr("not valid YAML: "));
  EXPECT_THAT(ErrorOf("seed: 1\n name: a\n"), StartsWith("job.yaml:"));
  EXPECT_THAT(ErrorOf(With("name: !!str a")), HasSubstr("tags"));
  EXPECT_EQ(ErrorOf("? [a]\n: 1"),
            "job.yaml:1:3: a key must be a name; or is a bracket left open?");
  EXPECT_THAT(ErrorOf(std::string(10000, '[')), HasSubstr("left open?"));
  EXPECT_THAT(ErrorOf(With("~: 1")), HasSubstr("a key must be a name"));
  EXPECT_THAT(ErrorOf(With("name: a\n---\nname: b")),
              HasSubstr("a second document"));
}

TEST(JobErrorTest, BytesThatAreNoText) {
  EXPECT_EQ(ErrorOf("name: a\nseed: \xff\n"), "job.yaml:2:7: not UTF-8 text");
  EXPECT_EQ(ErrorOf("name: \xe2\x82"), "job.yaml:1:7: not UTF-8 text");
  EXPECT_EQ(ErrorOf("name: \xc0\x80"), "job.yaml:1:7: not UTF-8 text");
  EXPECT_EQ(ErrorOf(std::string("name: a\0b", 9)),
            "job.yaml:1:8: a control character; not a text file?");
}

TEST(JobErrorTest, TextsThatGrow) {
  EXPECT_THAT(ErrorOf("a: &a [x, x]\nb: *a\n"),
              HasSubstr("job.yaml:1:4: anchors (&) are not supported"));
  EXPECT_THAT(ErrorOf("b: *a\n"), StartsWith("job.yaml:1:4: "));
  EXPECT_THAT(ErrorOf("a: " + std::string(400, '[') + std::string(400, ']')),
              HasSubstr("nested deeper than 32 levels"));
  EXPECT_THAT(ErrorOf("a: " + std::string(kJobFileBytesMax, '{')),
              StartsWith("job.yaml:1:1: larger than the limit"));
  std::string deep;
  for (int i = 0; i < 500; ++i) deep += std::string(i, ' ') + "a:\n";
  EXPECT_THAT(ErrorOf(deep), HasSubstr("nested deeper than 32 levels"));
}

TEST(JobErrorTest, JobsThatGrowWhenPrinted) {
  std::string layers;
  for (int i = 0; i < 50000; ++i) layers += "batch_norm, ";
  EXPECT_EQ(ErrorOf("model: {layers: [" + layers +
                    "linear: 10]}\n"
                    "train: {epochs: 1}\n"),
            "job.yaml:1:1: with every default written out, the job is larger "
            "than the limit of 1048576 bytes");
}

}  // namespace
}  // namespace terse
