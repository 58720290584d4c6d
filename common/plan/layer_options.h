// What `quantize` says of layers: their activations and the gradients that
// enter them from behind.
#ifndef TERSE_COMMON_PLAN_LAYER_OPTIONS_H_
#define TERSE_COMMON_PLAN_LAYER_OPTIONS_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/plan/model_spec.h"
#include "proto/job.pb.h"

namespace terse {

// Of the activation layer `name`: the last rule that matches, else the job's.
const ActivationQuantization& ActivationsOf(const Quantize& quantize,
                                            const std::string& name);

// What an LSTM of this name does to its hidden state: the last rule that
// matches, else the job's. Errors: InvalidArgument (exit code 78: a kind that
// is not for values between -1 and 1).
absl::StatusOr<ActivationQuantization> HiddenActivationsOf(
    const Quantize& quantize, const std::string& name);

// Fills in LayerSpec::backward and outputs_kept of every linear and convolution
// layer. The last of them is left alone unless a rule matches: of its few
// outputs, one for each class, none can be spared.
void ChooseBackward(const Quantize& quantize, ModelSpec& spec);

// Errors: InvalidArgument (exit code 78: options that do not go together, a
// rule that matches no layer it could apply to).
absl::Status CheckLayerOptions(const Quantize& quantize, const ModelSpec& spec);

}  // namespace terse

#endif  // TERSE_COMMON_PLAN_LAYER_OPTIONS_H_
