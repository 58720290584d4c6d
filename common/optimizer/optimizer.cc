#include "common/optimizer/optimizer.h"

#include <cstddef>

#include "common/base/portable_math.h"
#include "common/base/status.h"
#include "common/kernels/optimizer_kernels.h"

namespace terse {
namespace {

// Fills what the constants of all optimizers have in common.
template <typename Constants>
Constants CommonConstants(const UpdateArgs& args) {
  Constants constants;
  constants.gradient_max = args.gradient_max;
  constants.gradient_scale = args.gradient_scale;
  constants.weight_decay = args.weight_decay;
  constants.weight_max = args.weight_max;
  constants.rate = args.learning_rate * args.update_scale;
  return constants;
}

SgdConstants SgdConstantsOf(const Optimizer& options, const UpdateArgs& args) {
  auto constants = CommonConstants<SgdConstants>(args);
  constants.momentum = options.momentum();
  return constants;
}

// 1 / (1 - beta^t): what the zero start of a moving average took away.
float Correction(float beta, uint64_t t) {
  return static_cast<float>(1 / (1 - PortablePower(beta, t)));
}

AdamConstants AdamConstantsOf(const Optimizer& options,
                              const UpdateArgs& args) {
  auto constants = CommonConstants<AdamConstants>(args);
  constants.beta1 = options.beta1();
  constants.beta1_rest =
      static_cast<float>(1 - static_cast<double>(options.beta1()));
  constants.beta2 = options.beta2();
  constants.beta2_rest =
      static_cast<float>(1 - static_cast<double>(options.beta2()));
  constants.m_correction = Correction(options.beta1(), args.step + 1);
  constants.v_correction = Correction(options.beta2(), args.step + 1);
  constants.epsilon = options.epsilon();
  return constants;
}

}  // namespace

std::vector<std::string_view> OptimizerStateNames(const Optimizer& options) {
  if (options.kind() == Optimizer::ADAM) return {"m", "v"};
  if (options.momentum() > 0) return {"momentum"};
  return {};
}

void ApplyUpdate(const Optimizer& options, const UpdateArgs& args,
                 std::span<const float> gradient, std::span<float> weights,
                 std::span<const std::span<float>> state) {
  TERSE_CHECK(gradient.size() == weights.size());
  for (std::span<float> array : state) {
    TERSE_CHECK(array.size() == weights.size());
  }
  if (options.kind() == Optimizer::ADAM) {
    TERSE_CHECK(state.size() == 2);
    AdamUpdate(AdamConstantsOf(options, args), gradient, weights, state[0],
               state[1]);
  } else if (options.momentum() > 0) {
    TERSE_CHECK(state.size() == 1);
    MomentumUpdate(SgdConstantsOf(options, args), options.nesterov(), gradient,
                   weights, state[0]);
  } else {
    TERSE_CHECK(state.empty());
    SgdUpdate(SgdConstantsOf(options, args), gradient, weights);
  }
}

double ClippedSquareSum(std::span<const float> gradient, float gradient_max) {
  return ClippedSquares(gradient, gradient_max);
}

}  // namespace terse
