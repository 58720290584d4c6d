// Losses of ten training steps against tests/golden/losses/, which an
// implementation in Python, torch's own in double precision, has computed.
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "common/optimizer/optimizer.h"
#include "common/plan/plan.h"
#include "tests/unit/worker/torch/formula_dataset.h"
#include "worker/torch/torch_model.h"

namespace terse {
namespace {

constexpr uint64_t kSteps = 10;

// Lines "name,step,loss" under a line of titles.
std::map<std::string, std::vector<double>> ReadGolden() {
  std::ifstream file(TERSE_SOURCE_DIR "/tests/golden/losses/losses.csv");
  std::map<std::string, std::vector<double>> losses;
  std::string line;
  std::getline(file, line);
  while (std::getline(file, line)) {
    std::istringstream fields(line);
    std::string name, step, loss;
    std::getline(fields, name, ',');
    std::getline(fields, step, ',');
    std::getline(fields, loss, ',');
    EXPECT_EQ(std::stoul(step), losses[name].size());
    losses[name].push_back(std::stod(loss));
  }
  return losses;
}

// One worker and no server: the bare mathematics of a step.
std::vector<double> Train(const Job& job) {
  auto plan = MakePlan(job);
  EXPECT_TRUE(plan.ok()) << plan.status();
  auto model = MakeTorchModel(
      {.job = job,
       .spec = plan->model,
       .dataset = std::make_shared<FormulaDataset>(200, 10, 10)});
  EXPECT_TRUE(model.ok()) << model.status();
  for (uint32_t b = 0; b < plan->blocks.size(); ++b) {
    const BlockSpec& block = plan->blocks[b];
    InitializeBlock(
        *plan, b, job.seed(),
        (*model)->Values(block.tensor).subspan(block.first_index, block.count));
  }
  std::vector<std::vector<float>> momentum;
  for (const TensorSpec& tensor : plan->model.tensors) {
    momentum.emplace_back(ElementCount(tensor.shape));
  }
  std::vector<double> losses;
  for (uint64_t step = 0; step < kSteps; ++step) {
    std::vector<std::vector<float>> gradients(plan->model.tensors.size());
    const absl::Status status = (*model)->ComputeGradient(
        step,
        [&](const LossSums& sums) {
          losses.push_back(sums.loss / static_cast<double>(sums.samples));
        },
        [&](uint32_t tensor, std::span<const float> gradient) {
          gradients[tensor].assign(gradient.begin(), gradient.end());
          return absl::OkStatus();
        });
    EXPECT_TRUE(status.ok()) << status;
    for (uint32_t t = 0; t < gradients.size(); ++t) {
      if (gradients[t].empty()) continue;
      const std::span<float> state[] = {momentum[t]};
      ApplyUpdate(
          job.optimizer(),
          {.step = step, .learning_rate = job.optimizer().learning_rate()},
          gradients[t], (*model)->Values(t), state);
    }
  }
  return losses;
}

void ExpectGolden(const Job& job, const std::string& name) {
  const auto golden = ReadGolden();
  ASSERT_TRUE(golden.contains(name));
  const std::vector<double> losses = Train(job);
  ASSERT_EQ(losses.size(), golden.at(name).size());
  for (uint64_t step = 0; step < kSteps; ++step) {
    const double expected = golden.at(name)[step];
    EXPECT_NEAR(losses[step], expected, 1e-5 * expected) << "step " << step;
  }
}

Job GoldenJob() {
  Job job;
  job.set_seed(11);
  job.mutable_data()->set_kind(Data::NOISE);
  for (const uint32_t side : {2, 8, 8}) job.mutable_data()->add_shape(side);
  job.mutable_train()->set_batch_size(16);
  job.mutable_train()->set_steps(kSteps);
  job.mutable_cluster()->set_workers(1);
  job.mutable_optimizer()->set_learning_rate(0.05f);
  job.mutable_optimizer()->set_momentum(0.9f);
  return job;
}

TEST(GoldenLoss, Mlp) {
  Job job = GoldenJob();
  job.mutable_model()->mutable_mlp()->add_hidden(48);
  job.mutable_model()->mutable_mlp()->add_hidden(32);
  ExpectGolden(job, "mlp");
}

TEST(GoldenLoss, CnnWithDropout) {
  Job job = GoldenJob();
  Model* model = job.mutable_model();
  model->set_loss(Model::SQUARED_HINGE);
  Conv* conv = model->add_layers()->mutable_conv();
  conv->set_filters(6);
  conv->set_padding(1);
  model->add_layers()->mutable_batch_norm();
  model->add_layers()->mutable_activation();
  model->add_layers()->mutable_max_pool();
  model->add_layers()->mutable_conv()->set_filters(8);
  model->add_layers()->mutable_activation()->set_kind(Activation::TANH);
  model->add_layers()->mutable_average_pool();
  model->add_layers()->mutable_dropout()->set_probability(0.25f);
  model->add_layers()->mutable_linear()->set_outputs(10);
  job.mutable_optimizer()->set_nesterov(true);
  ExpectGolden(job, "cnn_dropout");
}

}  // namespace
}  // namespace terse
