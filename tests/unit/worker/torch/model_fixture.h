// A model over FormulaDataset with random weights.
#ifndef TERSE_TESTS_UNIT_WORKER_TORCH_MODEL_FIXTURE_H_
#define TERSE_TESTS_UNIT_WORKER_TORCH_MODEL_FIXTURE_H_

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "common/base/random.h"
#include "common/plan/model_spec.h"
#include "tests/unit/worker/torch/formula_dataset.h"
#include "worker/torch/torch_model.h"

namespace terse {

struct Fixture {
  ModelSpec spec;
  std::unique_ptr<NetworkModel> model;
};

// A job of samples of 2x6x6, whose network a test fills in.
inline Job SmallJob() {
  Job job;
  job.mutable_data()->set_kind(Data::NOISE);
  for (const uint32_t side : {2, 6, 6}) job.mutable_data()->add_shape(side);
  job.mutable_train()->set_batch_size(7);
  return job;
}

// Text of invented words, 6 characters a sample; a test fills in the layers
// between the embedding and the end.
inline Job SmallTextJob() {
  Job job;
  job.mutable_data()->set_kind(Data::TEXT);
  job.mutable_data()->set_sequence(6);
  job.mutable_data()->set_characters(2000);
  job.mutable_train()->set_batch_size(3);
  job.mutable_model()->add_layers()->mutable_embedding()->set_width(8);
  return job;
}

inline std::shared_ptr<const Dataset> DatasetFor(const Job& job,
                                                 const ModelSpec& spec) {
  if (job.data().kind() != Data::TEXT) {
    return std::make_shared<FormulaDataset>(200, 300, spec.classes);
  }
  auto text = OpenDataset(job.data(), "", job.seed());
  EXPECT_TRUE(text.ok()) << text.status();
  return *std::move(text);
}

inline Fixture MakeFixture(const Job& job, uint32_t worker = 0,
                           uint32_t workers = 1) {
  auto spec = MakeModelSpec(job);
  EXPECT_TRUE(spec.ok()) << spec.status();
  auto model = MakeTorchModel({.job = job,
                               .spec = *spec,
                               .dataset = DatasetFor(job, *spec),
                               .worker = worker,
                               .workers = workers});
  EXPECT_TRUE(model.ok()) << model.status();
  for (uint32_t t = 0; t < spec->tensors.size(); ++t) {
    const TensorSpec& tensor = spec->tensors[t];
    if (tensor.role == TensorSpec::Role::kBuffer) continue;
    const bool weight = tensor.role == TensorSpec::Role::kWeight;
    const float max =
        weight ? 1.7f / std::sqrt(static_cast<float>(tensor.fan_in)) : 0.3f;
    uint64_t i = 0;
    for (float& value : (*model)->Values(t)) {
      value += max * (2 * RandomUnit(MixKey({t}), i++) - 1);
    }
  }
  return {*std::move(spec), *std::move(model)};
}

struct StepResult {
  LossSums loss;
  std::vector<uint32_t> order;                // Of the tensors, as they came.
  std::vector<std::vector<float>> gradients;  // By tensor; empty for buffers.

  bool operator==(const StepResult& other) const {
    return loss.loss == other.loss.loss && order == other.order &&
           gradients == other.gradients;
  }
};

inline StepResult TakeStep(const Fixture& fixture, uint64_t step) {
  StepResult result;
  result.gradients.resize(fixture.spec.tensors.size());
  bool has_loss = false;
  const absl::Status status = fixture.model->ComputeGradient(
      step,
      [&](const LossSums& loss) {
        EXPECT_FALSE(has_loss);
        has_loss = true;
        result.loss = loss;
      },
      [&](uint32_t tensor, std::span<const float> gradient) {
        EXPECT_TRUE(has_loss) << "a gradient before the loss";
        EXPECT_TRUE(result.gradients[tensor].empty()) << "twice";
        result.order.push_back(tensor);
        result.gradients[tensor].assign(gradient.begin(), gradient.end());
        return absl::OkStatus();
      });
  EXPECT_TRUE(status.ok()) << status;
  return result;
}

}  // namespace terse

#endif  // TERSE_TESTS_UNIT_WORKER_TORCH_MODEL_FIXTURE_H_
