// What every optimizer must hold, over all its variants.
#include <algorithm>
#include <cmath>
#include <span>
#include <string>
#include <vector>

#include "common/base/random.h"
#include "common/kernels/target.h"
#include "common/optimizer/optimizer.h"
#include "gtest/gtest.h"

namespace terse {
namespace {

struct Variant {
  std::string name;
  Optimizer options;
  UpdateArgs args;
};

std::vector<Variant> Variants() {
  Optimizer sgd, momentum, nesterov, adam;
  momentum.set_momentum(0.9f);
  nesterov.set_momentum(0.7f);
  nesterov.set_nesterov(true);
  adam.set_kind(Optimizer::ADAM);
  const UpdateArgs plain = {.learning_rate = 0.01f};
  const UpdateArgs full = {.learning_rate = 0.03f,
                           .update_scale = 1.7f,
                           .gradient_scale = 0.6f,
                           .gradient_max = 0.8f,
                           .weight_decay = 0.01f,
                           .weight_max = 0.95f};
  return {{"sgd", sgd, plain},           {"sgd_full", sgd, full},
          {"momentum", momentum, plain}, {"momentum_full", momentum, full},
          {"nesterov", nesterov, plain}, {"nesterov_full", nesterov, full},
          {"adam", adam, plain},         {"adam_full", adam, full}};
}

// Values in [-1, 1) with a tail of small and large magnitudes.
std::vector<float> Values(size_t count, uint64_t key) {
  std::vector<float> values(count);
  for (size_t i = 0; i < count; ++i) {
    const float unit = 2 * RandomUnit(key, i) - 1;
    values[i] = i % 7 == 3 ? unit * 1e-20f : i % 11 == 5 ? unit * 40 : unit;
  }
  return values;
}

struct Replica {
  std::vector<float> weights;
  std::vector<std::vector<float>> state;
  bool operator==(const Replica& other) const {
    const auto same = [](const auto& a, const auto& b) {
      return std::ranges::equal(std::as_bytes(std::span(a)),
                                std::as_bytes(std::span(b)));
    };
    bool equal = same(weights, other.weights);
    for (size_t k = 0; k < state.size(); ++k) {
      equal = equal && same(state[k], other.state[k]);
    }
    return equal;
  }
};

Replica Fresh(const Variant& variant, size_t count) {
  Replica replica = {Values(count, 1), {}};
  const size_t states = OptimizerStateNames(variant.options).size();
  replica.state.assign(states, std::vector<float>(count, 0.0f));
  return replica;
}

void StepPart(const Variant& variant, uint64_t step,
              const std::vector<float>& gradient, size_t begin, size_t end,
              Replica& replica) {
  UpdateArgs args = variant.args;
  args.step = step;
  std::vector<std::span<float>> state;
  for (std::vector<float>& array : replica.state) {
    state.push_back(std::span(array).subspan(begin, end - begin));
  }
  ApplyUpdate(variant.options, args,
              std::span(gradient).subspan(begin, end - begin),
              std::span(replica.weights).subspan(begin, end - begin), state);
}

// Three steps with the tensor cut at `cuts`.
Replica ThreeSteps(const Variant& variant, size_t count,
                   const std::vector<size_t>& cuts = {}) {
  Replica replica = Fresh(variant, count);
  for (uint64_t step = 0; step < 3; ++step) {
    const std::vector<float> gradient = Values(count, 100 + step);
    size_t begin = 0;
    for (size_t cut : cuts) {
      StepPart(variant, step, gradient, begin, cut, replica);
      begin = cut;
    }
    StepPart(variant, step, gradient, begin, count, replica);
  }
  return replica;
}

double Clip(double x, double bound) { return std::clamp(x, -bound, bound); }

// The formulas of optimizer.h in double, written anew.
std::vector<double> PlainThreeSteps(const Variant& variant, size_t count) {
  const Optimizer& o = variant.options;
  const UpdateArgs& a = variant.args;
  const std::vector<float> start = Values(count, 1);
  std::vector<double> weights(start.begin(), start.end());
  for (size_t i = 0; i < count; ++i) {
    double m = 0, v = 0;
    for (int step = 0; step < 3; ++step) {
      double g = Clip(Values(count, 100 + step)[i], a.gradient_max);
      g = g * a.gradient_scale + a.weight_decay * weights[i];
      double direction = 0;
      if (o.kind() == Optimizer::ADAM) {
        m = o.beta1() * m + (1.0 - o.beta1()) * g;
        v = o.beta2() * v + (1.0 - o.beta2()) * g * g;
        const double m_hat = m / (1 - std::pow(o.beta1(), step + 1));
        const double v_hat = v / (1 - std::pow(o.beta2(), step + 1));
        direction = m_hat / (std::sqrt(v_hat) + o.epsilon());
      } else {
        m = o.momentum() * m + g;
        direction = o.nesterov() ? g + o.momentum() * m : m;
      }
      weights[i] = Clip(
          weights[i] - double{a.learning_rate} * a.update_scale * direction,
          a.weight_max);
    }
  }
  return weights;
}

class OptimizerConformance : public ::testing::TestWithParam<Variant> {
 protected:
  void TearDown() override { ASSERT_TRUE(ForceKernelTarget("auto")); }
};

TEST_P(OptimizerConformance, FollowsThePlainFormula) {
  const std::vector<double> expected = PlainThreeSteps(GetParam(), 203);
  const Replica replica = ThreeSteps(GetParam(), 203);
  for (size_t i = 0; i < expected.size(); ++i) {
    EXPECT_NEAR(replica.weights[i], expected[i],
                2e-6 * std::max(1.0, std::abs(expected[i])))
        << i;
  }
}

TEST_P(OptimizerConformance, ZeroGradientMovesNothing) {
  Variant variant = GetParam();
  variant.args.weight_decay = 0;
  variant.args.weight_max = kUnbounded;
  Replica replica = Fresh(variant, 100);
  const Replica before = replica;
  const std::vector<float> zeros(100, 0.0f);
  for (uint64_t step = 0; step < 3; ++step) {
    StepPart(variant, step, zeros, 0, 100, replica);
  }
  EXPECT_TRUE(replica == before);
}

TEST_P(OptimizerConformance, CutsChangeNothing) {
  const Replica whole = ThreeSteps(GetParam(), 333);
  EXPECT_TRUE(ThreeSteps(GetParam(), 333, {1, 2, 18, 19, 200}) == whole);
  EXPECT_TRUE(ThreeSteps(GetParam(), 333, {0, 128, 332}) == whole);
}

TEST_P(OptimizerConformance, TargetsGiveTheSameBits) {
  std::vector<size_t> counts = {0, 1, 3, 4, 5, 7, 8, 9, 15, 16, 17, 21, 66};
  counts.push_back(1000);
  for (size_t count : counts) {
    ASSERT_TRUE(ForceKernelTarget("auto"));
    const Replica best = ThreeSteps(GetParam(), count);
    for (const std::string& target : KernelTargetNames()) {
      ASSERT_TRUE(ForceKernelTarget(target));
      EXPECT_TRUE(ThreeSteps(GetParam(), count) == best)
          << target << " " << count;
    }
  }
}

TEST_P(OptimizerConformance, WeightsStayWithinTheBound) {
  Variant variant = GetParam();
  variant.args.weight_max = 0.25f;
  variant.args.learning_rate = 3;
  const Replica replica = ThreeSteps(variant, 500);
  for (float weight : replica.weights) EXPECT_LE(std::abs(weight), 0.25f);
}

TEST_P(OptimizerConformance, ClippingComesBeforeTheStep) {
  Variant variant = GetParam();
  variant.args.gradient_max = 0.5f;
  Replica clipped_inside = Fresh(variant, 300);
  Replica clipped_outside = clipped_inside;
  for (uint64_t step = 0; step < 3; ++step) {
    std::vector<float> gradient = Values(300, 100 + step);
    StepPart(variant, step, gradient, 0, 300, clipped_inside);
    for (float& g : gradient) g = std::clamp(g, -0.5f, 0.5f);
    StepPart(variant, step, gradient, 0, 300, clipped_outside);
  }
  EXPECT_TRUE(clipped_inside == clipped_outside);
}

INSTANTIATE_TEST_SUITE_P(All, OptimizerConformance,
                         ::testing::ValuesIn(Variants()),
                         [](const auto& info) { return info.param.name; });

TEST(ClippedSquareSumConformance, TargetsGiveTheSameBits) {
  for (size_t count : {0, 1, 31, 32, 33, 64, 1000, 4097}) {
    for (float bound : {0.5f, kUnbounded}) {
      const std::vector<float> values = Values(count, 9);
      double plain = 0;
      for (double x : values) plain += std::pow(Clip(x, bound), 2);
      ASSERT_TRUE(ForceKernelTarget("auto"));
      const double best = ClippedSquareSum(values, bound);
      EXPECT_NEAR(best, plain, 1e-12 * plain);
      for (const std::string& target : KernelTargetNames()) {
        ASSERT_TRUE(ForceKernelTarget(target));
        EXPECT_EQ(ClippedSquareSum(values, bound), best) << target;
      }
    }
  }
  ASSERT_TRUE(ForceKernelTarget("auto"));
}

}  // namespace
}  // namespace terse
