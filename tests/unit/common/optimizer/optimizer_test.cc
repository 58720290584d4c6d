#include "common/optimizer/optimizer.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <limits>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace terse {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

Optimizer Sgd(float momentum = 0, bool nesterov = false) {
  Optimizer options;
  options.set_momentum(momentum);
  options.set_nesterov(nesterov);
  return options;
}

Optimizer Adam(float beta1 = 0.9f, float beta2 = 0.999f,
               float epsilon = 1e-8f) {
  Optimizer options;
  options.set_kind(Optimizer::ADAM);
  options.set_beta1(beta1);
  options.set_beta2(beta2);
  options.set_epsilon(epsilon);
  return options;
}

// Weights and their state, which start as the optimizer's.
struct Replica {
  Replica(const Optimizer& options, std::vector<float> start)
      : options(options),
        weights(std::move(start)),
        state(OptimizerStateNames(options).size(),
              std::vector<float>(weights.size(), 0.0f)) {}

  void Step(const UpdateArgs& args, const std::vector<float>& gradient) {
    std::vector<std::span<float>> spans(state.begin(), state.end());
    ApplyUpdate(options, args, gradient, weights, spans);
  }

  Optimizer options;
  std::vector<float> weights;
  std::vector<std::vector<float>> state;
};

TEST(OptimizerStateNamesTest, NamesWhatIsKept) {
  EXPECT_THAT(OptimizerStateNames(Sgd()), IsEmpty());
  EXPECT_THAT(OptimizerStateNames(Sgd(0, true)), IsEmpty());
  EXPECT_THAT(OptimizerStateNames(Sgd(0.9f)), ElementsAre("momentum"));
  EXPECT_THAT(OptimizerStateNames(Adam()), ElementsAre("m", "v"));
}

// All numbers below are exact in binary, worked out by hand.
TEST(ApplyUpdateTest, SgdByHand) {
  Replica replica(Sgd(), {1.0f});
  const UpdateArgs args = {.learning_rate = 0.5f};
  replica.Step(args, {0.5f});  // 1 - 0.25
  EXPECT_EQ(replica.weights[0], 0.75f);
  replica.Step(args, {-1.0f});  // 0.75 + 0.5
  EXPECT_EQ(replica.weights[0], 1.25f);
  replica.Step(args, {2.0f});  // 1.25 - 1
  EXPECT_EQ(replica.weights[0], 0.25f);
}

TEST(ApplyUpdateTest, MomentumByHand) {
  Replica replica(Sgd(0.5f), {1.0f});
  const UpdateArgs args = {.learning_rate = 0.25f};
  replica.Step(args, {1.0f});  // v = 1
  EXPECT_EQ(replica.weights[0], 0.75f);
  replica.Step(args, {1.0f});  // v = 1.5
  EXPECT_EQ(replica.weights[0], 0.375f);
  replica.Step(args, {-1.0f});  // v = -0.25
  EXPECT_EQ(replica.weights[0], 0.4375f);
  EXPECT_EQ(replica.state[0][0], -0.25f);
}

TEST(ApplyUpdateTest, NesterovByHand) {
  Replica replica(Sgd(0.5f, true), {1.0f});
  const UpdateArgs args = {.learning_rate = 0.25f};
  replica.Step(args, {1.0f});  // v = 1, d = 1.5
  EXPECT_EQ(replica.weights[0], 0.625f);
  replica.Step(args, {1.0f});  // v = 1.5, d = 1.75
  EXPECT_EQ(replica.weights[0], 0.1875f);
  replica.Step(args, {-1.0f});  // v = -0.25, d = -1.125
  EXPECT_EQ(replica.weights[0], 0.46875f);
}

// beta1 = 1/2, beta2 = 3/4, epsilon = 2^-20, gradients 2, -4, 1:
//   m: 1, -3/2, -1/4         mhat: 2, -2, -2/7
//   v: 1, 19/4, 61/16        vhat: 4, 76/7, 244/37
TEST(ApplyUpdateTest, AdamByHand) {
  Replica replica(Adam(0.5f, 0.75f, 0x1p-20f), {0.0f});
  const double epsilon = 0x1p-20;
  const double steps[] = {2 / (2 + epsilon),
                          -2 / (std::sqrt(76.0 / 7) + epsilon),
                          -(2.0 / 7) / (std::sqrt(244.0 / 37) + epsilon)};
  const float gradients[] = {2, -4, 1};
  double expected = 0;
  for (uint64_t step = 0; step < 3; ++step) {
    replica.Step({.step = step, .learning_rate = 0.5f}, {gradients[step]});
    expected -= 0.5 * steps[step];
    EXPECT_NEAR(replica.weights[0], expected, 2e-7) << step;
  }
  EXPECT_EQ(replica.state[0][0], -0.25f);
  EXPECT_EQ(replica.state[1][0], 61.0f / 16);
}

TEST(ApplyUpdateTest, ScalesDecayAndClipsInOrder) {
  Replica replica(Sgd(), {0.5f, -0.5f, 0.5f});
  // g = clip(x, 2) * 0.5 + 0.25 * w; w - (0.5 * 4) * g, within [-1, 1].
  const UpdateArgs args = {.learning_rate = 0.5f,
                           .update_scale = 4,
                           .gradient_scale = 0.5f,
                           .gradient_max = 2,
                           .weight_decay = 0.25f,
                           .weight_max = 1};
  replica.Step(args, {100.0f, 0.125f, -100.0f});
  // g: 1.125, -0.0625, -0.875
  EXPECT_THAT(replica.weights, ElementsAre(-1.0f, -0.375f, 1.0f));
}

TEST(ApplyUpdateTest, EmptyBlock) {
  for (const Optimizer& options : {Sgd(), Sgd(0.9f), Adam()}) {
    Replica replica(options, {});
    replica.Step({.learning_rate = 0.1f}, {});
    EXPECT_THAT(replica.weights, IsEmpty());
  }
}

TEST(ApplyUpdateTest, KeepsNanInSight) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (const Optimizer& options : {Sgd(), Sgd(0.9f), Adam()}) {
    for (size_t count : {1, 64}) {  // Tail and vectors.
      Replica replica(options, std::vector<float>(count, 0.5f));
      std::vector<float> gradient(count, 0.25f);
      gradient[0] = nan;
      replica.Step({.learning_rate = 0.1f, .gradient_max = 1, .weight_max = 1},
                   gradient);
      EXPECT_TRUE(std::isnan(replica.weights[0]));
      for (size_t i = 1; i < count; ++i) {
        EXPECT_LT(replica.weights[i], 0.5f) << i;
      }
    }
  }
}

TEST(ApplyUpdateTest, ClipsInfinityToTheBound) {
  const float infinity = std::numeric_limits<float>::infinity();
  Replica replica(Sgd(), {0.0f, 0.0f});
  replica.Step({.learning_rate = 0.5f, .gradient_max = 1},
               {infinity, -infinity});
  EXPECT_THAT(replica.weights, ElementsAre(-0.5f, 0.5f));
}

TEST(ClippedSquareSumTest, ByHand) {
  EXPECT_EQ(ClippedSquareSum({}, 1), 0);
  const std::vector<float> gradient = {3, -4, 0.5f};
  EXPECT_EQ(ClippedSquareSum(gradient, kUnbounded), 25.25);
  EXPECT_EQ(ClippedSquareSum(gradient, 2), 8.25);
}

TEST(ClippedSquareSumTest, HoldsWhatAFloatCannot) {
  const std::vector<float> large(100, 1e30f);
  EXPECT_NEAR(ClippedSquareSum(large, kUnbounded), 1e62, 1e55);
  const std::vector<float> small(100, 1e-30f);
  EXPECT_NEAR(ClippedSquareSum(small, kUnbounded), 1e-58, 1e-65);
}

TEST(ClippedSquareSumTest, KeepsNanInSight) {
  for (size_t place : {0, 31, 32, 50}) {
    std::vector<float> gradient(51, 1.0f);
    gradient[place] = std::numeric_limits<float>::quiet_NaN();
    EXPECT_TRUE(std::isnan(ClippedSquareSum(gradient, 2))) << place;
  }
}

struct Trajectory {
  std::vector<std::vector<float>> gradients, weights;
};

std::map<std::string, Trajectory> ReadTrajectories() {
  std::map<std::string, Trajectory> cases;
  std::ifstream file(std::string(TERSE_SOURCE_DIR) +
                     "/tests/golden/optimizer/torch_trajectories.txt");
  Trajectory* trajectory = nullptr;
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string tag, name;
    words >> tag;
    if (tag == "case") {
      words >> name;
      trajectory = &cases[name];
      continue;
    }
    std::vector<float> row;
    for (float x; words >> x;) row.push_back(x);
    (tag == "g" ? trajectory->gradients : trajectory->weights).push_back(row);
  }
  return cases;
}

TEST(ApplyUpdateTest, FollowsTorch) {
  struct Case {
    Optimizer options;
    UpdateArgs args;
  };
  const std::map<std::string, Case> ours = {
      {"sgd", {Sgd(), {.learning_rate = 0.1f}}},
      {"sgd_decay", {Sgd(), {.learning_rate = 0.1f, .weight_decay = 0.01f}}},
      {"momentum", {Sgd(0.9f), {.learning_rate = 0.05f}}},
      {"nesterov",
       {Sgd(0.9f, true), {.learning_rate = 0.05f, .weight_decay = 0.001f}}},
      {"adam", {Adam(), {.learning_rate = 0.01f}}},
      {"adam_decay",
       {Adam(0.8f, 0.99f, 1e-5f),
        {.learning_rate = 0.003f, .weight_decay = 0.02f}}},
  };
  const auto torch = ReadTrajectories();
  ASSERT_EQ(torch.size(), ours.size());
  for (const auto& [name, trajectory] : torch) {
    ASSERT_EQ(trajectory.weights.size(), 10) << name;
    Case one = ours.at(name);
    Replica replica(one.options, {0.5f, -0.25f, 1.0f, 0.0f});
    for (size_t step = 0; step < 10; ++step) {
      one.args.step = step;
      replica.Step(one.args, trajectory.gradients[step]);
      for (size_t i = 0; i < 4; ++i) {
        EXPECT_NEAR(replica.weights[i], trajectory.weights[step][i], 1e-6)
            << name << " step " << step << " weight " << i;
      }
    }
  }
}

}  // namespace
}  // namespace terse
