#include "worker/torch/torch_model.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "common/base/status.h"
#include "tests/unit/worker/data/read_label.h"
#include "tests/unit/worker/torch/model_fixture.h"

namespace terse {
namespace {

Job MlpJob() {
  Job job = SmallJob();
  job.mutable_model()->mutable_mlp()->add_hidden(40);
  job.mutable_model()->mutable_mlp()->add_hidden(30);
  return job;
}

// Every kind of layer, and dropout.
Job CnnJob() {
  Job job = SmallJob();
  Model* model = job.mutable_model();
  model->add_layers()->mutable_conv()->set_filters(5);
  model->add_layers()->mutable_batch_norm();
  model->add_layers()->mutable_activation();
  model->add_layers()->mutable_max_pool();
  model->add_layers()->mutable_dropout()->set_probability(0.25f);
  model->add_layers()->mutable_linear()->set_outputs(20);
  model->add_layers()->mutable_batch_norm();
  model->add_layers()->mutable_activation();
  model->add_layers()->mutable_linear()->set_outputs(10);
  return job;
}

uint32_t TensorOf(const Fixture& fixture, const std::string& name) {
  const auto& tensors = fixture.spec.tensors;
  const auto found =
      std::find_if(tensors.begin(), tensors.end(),
                   [&](const TensorSpec& t) { return t.name == name; });
  EXPECT_NE(found, tensors.end()) << name;
  return static_cast<uint32_t>(found - tensors.begin());
}

// Records which training samples are read.
class RecordingDataset final : public Dataset {
 public:
  RecordingDataset(uint64_t train, std::vector<uint64_t>* read)
      : train_(train), read_(read) {}
  uint64_t size(Split split) const override {
    return split == Split::kTrain ? train_ : 10;
  }
  void Read(Split, uint64_t index, std::span<float> values,
            std::span<uint32_t> labels) const override {
    read_->push_back(index);
    std::fill(values.begin(), values.end(), 0.5f);
    std::fill(labels.begin(), labels.end(), 0);
  }

 private:
  uint64_t train_;
  std::vector<uint64_t>* read_;
};

// As on a GPU, whose memory is not the host's.
TEST(TorchModel, SeparateMemoryGivesTheSameBits) {
  Job job = CnnJob();
  job.mutable_quantize()->mutable_activations()->set_kind(
      ActivationQuantization::PACT);
  const auto spec = MakeModelSpec(job);
  std::vector<StepResult> results;
  std::vector<std::vector<float>> buffers;
  std::vector<double> losses;
  for (const bool separate : {false, true}) {
    auto model = MakeTorchModel(
        {.job = job,
         .spec = *spec,
         .dataset = std::make_shared<FormulaDataset>(200, 300, 10),
         .separate_memory = separate});
    ASSERT_TRUE(model.ok()) << model.status();
    const Fixture fixture = {*spec, *std::move(model)};
    for (uint64_t step = 0; step < 3; ++step) {
      for (uint32_t t = 0; t < spec->tensors.size(); ++t) {
        if (spec->tensors[t].role != TensorSpec::Role::kWeight) continue;
        uint64_t i = 0;
        for (float& value : fixture.model->Values(t)) {
          value = 0.3f * (2 * RandomUnit(MixKey({step, t}), i++) - 1);
        }
      }
      results.push_back(TakeStep(fixture, step));
    }
    std::vector<float> statistics;
    for (uint32_t t = 0; t < spec->tensors.size(); ++t) {
      if (spec->tensors[t].role != TensorSpec::Role::kBuffer) continue;
      const std::span<float> values = fixture.model->Values(t);
      statistics.insert(statistics.end(), values.begin(), values.end());
      values[0] += 0.25f;  // What is put in place is what evaluation uses.
    }
    buffers.push_back(std::move(statistics));
    losses.push_back(fixture.model->Evaluate(0, 300)->loss);
  }
  for (size_t i = 0; i < 3; ++i) EXPECT_TRUE(results[i] == results[i + 3]);
  EXPECT_EQ(buffers[0], buffers[1]);
  EXPECT_EQ(losses[0], losses[1]);
}

TEST(TorchModel, TakesTheDeviceThatTheJobNames) {
  Job job = MlpJob();
  const auto status_on = [&](Cluster::Device device) {
    job.mutable_cluster()->set_device(device);
    return MakeTorchModel(
               {.job = job,
                .spec = *MakeModelSpec(job),
                .dataset = std::make_shared<FormulaDataset>(200, 300, 10)})
        .status();
  };
  EXPECT_TRUE(status_on(Cluster::CPU).ok());
  EXPECT_TRUE(status_on(Cluster::AUTO).ok());
  const absl::Status on_gpu = status_on(Cluster::CUDA);
  if (!on_gpu.ok()) {  // A machine without a GPU.
    EXPECT_EQ(ExitCodeOf(on_gpu), ExitCode::kBadJob);
    EXPECT_NE(std::string(on_gpu.message()).find("cluster.device"),
              std::string::npos);
  }
}

std::set<int> NonZeroRows(const Fixture& fixture, const StepResult& result,
                          const std::string& name) {
  const uint32_t t = TensorOf(fixture, name);
  const uint64_t width = fixture.spec.tensors[t].fan_in;
  std::set<int> rows;
  for (size_t i = 0; i < result.gradients[t].size(); ++i) {
    if (result.gradients[t][i] != 0) rows.insert(static_cast<int>(i / width));
  }
  return rows;
}

TEST(TorchModel, MepropKeepsWhatTheJobSays) {
  Job job = MlpJob();
  BackwardQuantization& backward = *job.mutable_quantize()->mutable_backward();
  backward.set_kind(BackwardQuantization::MEPROP);
  backward.set_unified(true);
  backward.set_ratio(0.1f);
  backward.set_full_epochs(1);
  BackwardRule* rule = job.mutable_quantize()->add_backward_rules();
  rule->set_match("fc2");
  *rule->mutable_backward() = backward;
  rule->mutable_backward()->clear_ratio();
  rule->mutable_backward()->set_keep(7);
  const Fixture fixture = MakeFixture(job);
  // 200 samples in batches of 7: epoch 1 begins with step 28.
  const StepResult full = TakeStep(fixture, 27);
  EXPECT_GT(NonZeroRows(fixture, full, "fc1.weight").size(), 20u);
  const StepResult kept = TakeStep(fixture, 28);
  EXPECT_EQ(NonZeroRows(fixture, kept, "fc1.weight").size(), 4u);
  EXPECT_EQ(NonZeroRows(fixture, kept, "fc2.weight").size(), 7u);
  EXPECT_EQ(NonZeroRows(fixture, kept, "fc3.weight").size(), 10u);
  EXPECT_TRUE(kept == TakeStep(fixture, 28));
}

TEST(TorchModel, DorefaGradientsDrawForStepAndWorker) {
  Job job = CnnJob();
  job.mutable_quantize()->mutable_backward()->set_kind(
      BackwardQuantization::DOREFA);
  const Fixture first = MakeFixture(job), second = MakeFixture(job);
  EXPECT_TRUE(TakeStep(first, 4) == TakeStep(second, 4));
  Job plain = CnnJob();
  const StepResult exact = TakeStep(MakeFixture(plain), 4);
  const StepResult noisy = TakeStep(first, 4);
  EXPECT_EQ(exact.loss.loss, noisy.loss.loss) << "forward must not change";
  const uint32_t last = TensorOf(first, "fc2.weight");
  EXPECT_EQ(exact.gradients[last], noisy.gradients[last]);
  const uint32_t conv = TensorOf(first, "conv1.weight");
  EXPECT_NE(exact.gradients[conv], noisy.gradients[conv]);
}

TEST(TorchModel, ReadsTheBatchesOfTheSeed) {
  const Job job = MlpJob();
  const auto spec = MakeModelSpec(job);
  constexpr uint64_t kSamples = 50;  // Two steps of 3 x 7 and 8 left over.
  constexpr uint32_t kWorkers = 3;
  for (uint64_t epoch = 0; epoch < 2; ++epoch) {
    std::set<uint64_t> seen;
    for (uint32_t worker = 0; worker < kWorkers; ++worker) {
      std::vector<uint64_t> read;
      auto model = MakeTorchModel(
          {.job = job,
           .spec = *spec,
           .dataset = std::make_shared<RecordingDataset>(kSamples, &read),
           .worker = worker,
           .workers = kWorkers});
      ASSERT_TRUE(model.ok()) << model.status();
      std::vector<uint64_t> expected;
      for (uint64_t in_epoch = 0; in_epoch < 2; ++in_epoch) {
        ASSERT_TRUE((*model)
                        ->ComputeGradient(
                            2 * epoch + in_epoch, [](const LossSums&) {},
                            [](uint32_t, std::span<const float>) {
                              return absl::OkStatus();
                            })
                        .ok());
        for (uint64_t i = 0; i < 7; ++i) {
          expected.push_back(ShuffledIndex(job.seed(), epoch, kSamples,
                                           in_epoch * 21 + worker * 7 + i));
        }
      }
      EXPECT_EQ(read, expected);
      seen.insert(read.begin(), read.end());
    }
    EXPECT_EQ(seen.size(), 42u) << "a sample was read twice in an epoch";
  }
}

TEST(TorchModel, ValuesAreAlignedAndStartAsTheSpecSays) {
  const Job job = CnnJob();
  const auto spec = MakeModelSpec(job);
  auto model = MakeTorchModel(
      {.job = job,
       .spec = *spec,
       .dataset = std::make_shared<FormulaDataset>(200, 10, 10)});
  for (uint32_t t = 0; t < spec->tensors.size(); ++t) {
    const std::span<float> values = (*model)->Values(t);
    EXPECT_EQ(values.size(), ElementCount(spec->tensors[t].shape));
    EXPECT_EQ(reinterpret_cast<uintptr_t>(values.data()) % 64, 0u);
    const float expected = spec->tensors[t].initial_value;
    for (const float value : values) ASSERT_EQ(value, expected);
  }
}

TEST(TorchModel, GradientsComeFromTheLastLayerToTheFirst) {
  const Fixture fixture = MakeFixture(MlpJob());
  const StepResult result = TakeStep(fixture, 0);
  size_t parameters = 0;
  for (const TensorSpec& tensor : fixture.spec.tensors) {
    parameters += tensor.role != TensorSpec::Role::kBuffer;
  }
  ASSERT_EQ(result.order.size(), parameters);
  // By layer: the number in the tensor's name.
  std::vector<uint32_t> layers;
  for (const uint32_t tensor : result.order) {
    for (uint32_t i = 0; i < fixture.spec.layers.size(); ++i) {
      const LayerSpec& layer = fixture.spec.layers[i];
      if (layer.weight == tensor || layer.bias == tensor) layers.push_back(i);
    }
  }
  EXPECT_TRUE(std::is_sorted(layers.rbegin(), layers.rend()));
}

TEST(TorchModel, AStepIsAFunctionOfSeedStepAndWorker) {
  for (const Job& job : {MlpJob(), CnnJob()}) {
    const Fixture fixture = MakeFixture(job);
    const StepResult first = TakeStep(fixture, 5);
    const StepResult other = TakeStep(fixture, 6);
    EXPECT_FALSE(first == other);
    EXPECT_TRUE(first == TakeStep(fixture, 5)) << "gradients were added up";
    EXPECT_TRUE(first == TakeStep(MakeFixture(job), 5));
    EXPECT_FALSE(first == TakeStep(MakeFixture(job, 1, 2), 5));
  }
}

TEST(TorchModel, ValuesWrittenAreUsed) {
  const Fixture fixture = MakeFixture(MlpJob());
  const StepResult before = TakeStep(fixture, 0);
  const std::span<float> values = fixture.model->Values(0);
  values[3] += 0.5f;
  EXPECT_NE(TakeStep(fixture, 0).loss.loss, before.loss.loss);
  values[3] -= 0.5f;
}

TEST(TorchModel, DropoutDrawsAnewForEveryStepAndNotInEvaluation) {
  Job job = SmallJob();
  job.mutable_model()->add_layers()->mutable_dropout()->set_probability(0.5f);
  job.mutable_model()->add_layers()->mutable_linear()->set_outputs(10);
  // One sample only, so that batches differ by their masks alone.
  const auto spec = MakeModelSpec(job);
  std::vector<uint64_t> read;
  auto made =
      MakeTorchModel({.job = job,
                      .spec = *spec,
                      .dataset = std::make_shared<RecordingDataset>(7, &read)});
  const Fixture fixture{*spec, *std::move(made)};
  // With zero weights every score is zero; the gradient of the weight of class
  // c at pixel p is the mean of x * mask * (1/10 - [c = 0]).
  const StepResult first = TakeStep(fixture, 0);
  const StepResult second = TakeStep(fixture, 1);
  EXPECT_NE(first.gradients[0], second.gradients[0]);
  // 1/(1-p) * 0.5 * 0.1 * k / 7 for the k of 7 samples that kept the pixel.
  double kept = 0;
  for (size_t pixel = 0; pixel < 72; ++pixel) {
    const double k = first.gradients[0][72 + pixel] * 7 / (2 * 0.5 * 0.1);
    EXPECT_NEAR(k, std::round(k), 1e-4);
    kept += k;
  }
  EXPECT_NEAR(kept / (72 * 7), 0.5, 0.12);  // Five standard errors.

  const auto evaluation = fixture.model->Evaluate(0, 10);
  ASSERT_TRUE(evaluation.ok());
  EXPECT_EQ(evaluation->correct, 10u);
}

TEST(TorchModel, BatchNormKeepsRunningStatistics) {
  Job job = SmallJob();
  job.mutable_model()->add_layers()->mutable_batch_norm()->set_momentum(0.25f);
  job.mutable_model()->add_layers()->mutable_linear()->set_outputs(10);
  const Fixture fixture = MakeFixture(job);
  TakeStep(fixture, 0);
  const FormulaDataset data(200, 300, 10);
  double sum = 0, squares = 0;
  std::vector<float> values(72);
  for (uint64_t i = 0; i < 7; ++i) {
    ReadLabel(data, Split::kTrain, ShuffledIndex(1, 0, 200, i), values);
    for (size_t p = 0; p < 36; ++p) {  // The first of the two channels.
      sum += values[p];
      squares += double{values[p]} * values[p];
    }
  }
  constexpr double kCount = 7 * 36;
  const double mean = sum / kCount;
  const double variance = (squares - sum * mean) / (kCount - 1);
  const LayerSpec& layer = fixture.spec.layers[0];
  EXPECT_NEAR(fixture.model->Values(*layer.running_mean)[0], 0.25 * mean, 1e-6);
  EXPECT_NEAR(fixture.model->Values(*layer.running_var)[0],
              0.75 + 0.25 * variance, 1e-6);
}

TEST(TorchModel, EvaluationIsTheSameInAnyParts) {
  for (const Job& job : {MlpJob(), CnnJob()}) {
    const Fixture fixture = MakeFixture(job);
    const auto whole = fixture.model->Evaluate(0, 300);
    ASSERT_TRUE(whole.ok()) << whole.status();
    EXPECT_EQ(whole->samples, 300u);
    for (const uint64_t part : {1, 7, 100, 128, 299}) {
      LossSums sums;
      for (uint64_t first = 0; first < 300; first += part) {
        const auto result =
            fixture.model->Evaluate(first, std::min(part, 300 - first));
        ASSERT_TRUE(result.ok());
        sums.loss += result->loss;
        sums.correct += result->correct;
        sums.samples += result->samples;
      }
      EXPECT_EQ(sums.samples, 300u);
      EXPECT_EQ(sums.correct, whole->correct);
      EXPECT_NEAR(sums.loss, whole->loss, 1e-12 * whole->loss);
    }
    for (const uint64_t first : {0, 100, 128, 300}) {
      EXPECT_EQ(fixture.model->Evaluate(first, 0)->samples, 0u);
    }
    EXPECT_FALSE(fixture.model->Evaluate(0, 301).ok());
    EXPECT_FALSE(fixture.model->Evaluate(~uint64_t{0}, 2).ok());
  }
}

TEST(TorchModel, EvaluationChangesNothing) {
  const Fixture plain = MakeFixture(CnnJob());
  const Fixture evaluated = MakeFixture(CnnJob());
  for (uint64_t step = 0; step < 3; ++step) {
    ASSERT_TRUE(evaluated.model->Evaluate(0, 200).ok());
    EXPECT_TRUE(TakeStep(plain, step) == TakeStep(evaluated, step));
  }
  for (uint32_t t = 0; t < plain.spec.tensors.size(); ++t) {
    const auto a = plain.model->Values(t);
    const auto b = evaluated.model->Values(t);
    EXPECT_TRUE(std::equal(a.begin(), a.end(), b.begin()));
  }
}

TEST(TorchModel, ModelsInThreadsGiveTheBitsTheyGiveAlone) {
  constexpr uint32_t kWorkers = 4;
  constexpr uint64_t kSteps = 5;
  for (const Job& job : {MlpJob(), CnnJob()}) {
    std::vector<std::vector<StepResult>> alone(kWorkers), together(kWorkers);
    const auto run = [&](uint32_t worker, std::vector<StepResult>& results) {
      const Fixture fixture = MakeFixture(job, worker, kWorkers);
      for (uint64_t step = 0; step < kSteps; ++step) {
        results.push_back(TakeStep(fixture, step));
      }
    };
    for (uint32_t w = 0; w < kWorkers; ++w) run(w, alone[w]);
    std::vector<std::thread> threads;
    for (uint32_t w = 0; w < kWorkers; ++w) {
      threads.emplace_back([&, w] { run(w, together[w]); });
    }
    for (std::thread& thread : threads) thread.join();
    for (uint32_t w = 0; w < kWorkers; ++w) {
      EXPECT_TRUE(alone[w] == together[w]) << "worker " << w;
    }
  }
}

TEST(TorchModel, AFailedSinkEndsTheStepWithItsError) {
  const Fixture fixture = MakeFixture(MlpJob());
  const StepResult expected = TakeStep(fixture, 0);
  int calls = 0;
  const absl::Status status = fixture.model->ComputeGradient(
      0, [](const LossSums&) {},
      [&](uint32_t, std::span<const float>) {
        return ++calls == 2 ? absl::UnavailableError("the peer is gone")
                            : absl::OkStatus();
      });
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(calls, 2);
  EXPECT_TRUE(TakeStep(fixture, 0) == expected);
}

TEST(TorchModel, ALossThatIsNotFiniteIsAnError) {
  const Fixture fixture = MakeFixture(MlpJob());
  const uint32_t last = TensorOf(fixture, "fc3.weight");
  fixture.model->Values(last)[0] = std::numeric_limits<float>::quiet_NaN();
  const absl::Status status = fixture.model->ComputeGradient(
      4, [](const LossSums&) { ADD_FAILURE(); },
      [](uint32_t, std::span<const float>) {
        ADD_FAILURE();
        return absl::OkStatus();
      });
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(status.message().find("step 4"), absl::string_view::npos);
}

TEST(TorchModel, RefusesASetSmallerThanAStep) {
  const Job job = MlpJob();
  const auto make = [&](uint64_t samples) {
    return MakeTorchModel(
        {.job = job,
         .spec = *MakeModelSpec(job),
         .dataset = std::make_shared<FormulaDataset>(samples, 10, 10),
         .workers = 2});
  };
  EXPECT_TRUE(make(14).ok());
  const absl::Status status = make(13).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ExitCodeOf(status), ExitCode::kBadJob);
  EXPECT_NE(status.message().find("batch_size"), absl::string_view::npos);
}

TEST(TorchModel, RefusesBatchNormOfOneValue) {
  Job job = MlpJob();
  job.mutable_train()->set_batch_size(1);
  const auto made =
      MakeTorchModel({.job = job,
                      .spec = *MakeModelSpec(job),
                      .dataset = std::make_shared<FormulaDataset>(20, 10, 10)});
  EXPECT_EQ(ExitCodeOf(made.status()), ExitCode::kBadJob);
}

}  // namespace
}  // namespace terse
