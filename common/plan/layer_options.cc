#include "common/plan/layer_options.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/config/names.h"
#include "common/plan/plan.h"

namespace terse {
namespace {

using Kind = LayerSpec::Kind;

constexpr uint32_t kHwgqBitsMax = 4;
constexpr float kDefaultRatio = 0.05f;

bool HasProduct(const LayerSpec& layer) {
  return layer.kind == Kind::kLinear || layer.kind == Kind::kConv;
}

// The last of `rules` that matches, or null.
template <typename Rules>
auto LastMatch(const Rules& rules, const std::string& name)
    -> decltype(&rules[0]) {
  for (int i = rules.size() - 1; i >= 0; --i) {
    if (GlobMatches(rules[i].match(), name)) return &rules[i];
  }
  return nullptr;
}

absl::Status BadJob(const std::string& path, const std::string& text) {
  return WithExitCode(
      absl::InvalidArgumentError(absl::StrCat(path, ": ", text)),
      ExitCode::kBadJob);
}

// A misspelt pattern would train another network than the one asked for.
template <typename Rules>
absl::Status CheckMatches(const Rules& rules, const std::string& path,
                          const std::string& what,
                          const std::vector<std::string>& names) {
  for (int i = 0; i < rules.size(); ++i) {
    const std::string& pattern = rules[i].match();
    if (std::any_of(names.begin(), names.end(), [&](const std::string& name) {
          return GlobMatches(pattern, name);
        })) {
      continue;
    }
    const auto nearest = std::min_element(
        names.begin(), names.end(),
        [&](const std::string& a, const std::string& b) {
          return EditDistance(pattern, a) < EditDistance(pattern, b);
        });
    return BadJob(
        absl::StrCat(path, ".", i, ".match"),
        absl::StrCat("'", ForMessage(pattern), "' matches no ", what,
                     nearest == names.end()
                         ? std::string("; the model has none")
                         : absl::StrCat("; the nearest is '", *nearest, "'")));
  }
  return absl::OkStatus();
}

absl::Status CheckActivations(const ActivationQuantization& options,
                              const std::string& path) {
  if (options.kind() == ActivationQuantization::HWGQ &&
      options.bits() > kHwgqBitsMax) {
    return BadJob(path + ".bits",
                  absl::StrCat("kind hwgq has ", kHwgqBitsMax,
                               " bits at most, not ", options.bits()));
  }
  if (options.kind() == ActivationQuantization::UNIFORM && options.bits() < 2) {
    return BadJob(path + ".bits", "kind uniform needs 2 bits at least");
  }
  return absl::OkStatus();
}

absl::Status CheckBackward(const BackwardQuantization& options,
                           const std::string& path) {
  if (options.has_keep() && options.has_ratio()) {
    return BadJob(path, "gives both keep and ratio; keep one");
  }
  return absl::OkStatus();
}

// 0: all.
uint32_t OutputsKept(const BackwardQuantization& options, uint64_t outputs) {
  if (options.kind() != BackwardQuantization::MEPROP) return 0;
  const float ratio = options.has_ratio() ? options.ratio() : kDefaultRatio;
  // In floats, 0.05 of 500 is 25; the float nearest to 0.05 is above it.
  const uint64_t kept =
      options.has_keep() ? options.keep()
                         : static_cast<uint64_t>(
                               std::ceil(ratio * static_cast<float>(outputs)));
  return kept >= outputs ? 0
                         : static_cast<uint32_t>(std::max<uint64_t>(kept, 1));
}

}  // namespace

const ActivationQuantization& ActivationsOf(const Quantize& quantize,
                                            const std::string& name) {
  const ActivationRule* rule = LastMatch(quantize.activation_rules(), name);
  return rule != nullptr ? rule->activations() : quantize.activations();
}

absl::StatusOr<ActivationQuantization> HiddenActivationsOf(
    const Quantize& quantize, const std::string& name) {
  const ActivationQuantization& options = ActivationsOf(quantize, name);
  switch (options.kind()) {
    case ActivationQuantization::NONE:
    case ActivationQuantization::BNN:
    case ActivationQuantization::DOREFA:
    case ActivationQuantization::SYMMETRIC:
    case ActivationQuantization::UNIFORM:
      return options;
    case ActivationQuantization::PACT:
    case ActivationQuantization::HWGQ:
    case ActivationQuantization::XNOR:
      break;
  }
  return BadJob("quantize.activations",
                absl::StrCat("the hidden state of ", name,
                             " takes one of the kinds none, bnn, dorefa, ",
                             "symmetric, uniform; give it one of them by a ",
                             "rule in quantize.activation_rules"));
}

void ChooseBackward(const Quantize& quantize, ModelSpec& spec) {
  bool is_last = true;
  for (auto layer = spec.layers.rbegin(); layer != spec.layers.rend();
       ++layer) {
    if (!HasProduct(*layer)) continue;
    const BackwardRule* rule =
        LastMatch(quantize.backward_rules(), layer->name);
    if (rule != nullptr) {
      layer->backward = rule->backward();
    } else if (!is_last) {
      layer->backward = quantize.backward();
    }
    layer->outputs_kept =
        OutputsKept(layer->backward, spec.tensors[*layer->weight].shape[0]);
    is_last = false;
  }
}

absl::Status CheckLayerOptions(const Quantize& quantize,
                               const ModelSpec& spec) {
  std::vector<std::string> activations, products;
  for (const LayerSpec& layer : spec.layers) {
    if (layer.kind == Kind::kActivation || layer.kind == Kind::kLstm) {
      activations.push_back(layer.name);
    }
    if (HasProduct(layer)) products.push_back(layer.name);
  }
  TERSE_RETURN_IF_ERROR(CheckMatches(quantize.activation_rules(),
                                     "quantize.activation_rules",
                                     "activation or lstm layer", activations));
  TERSE_RETURN_IF_ERROR(CheckMatches(quantize.backward_rules(),
                                     "quantize.backward_rules",
                                     "linear or convolution layer", products));
  TERSE_RETURN_IF_ERROR(
      CheckActivations(quantize.activations(), "quantize.activations"));
  for (int i = 0; i < quantize.activation_rules_size(); ++i) {
    TERSE_RETURN_IF_ERROR(CheckActivations(
        quantize.activation_rules(i).activations(),
        absl::StrCat("quantize.activation_rules.", i, ".activations")));
  }
  TERSE_RETURN_IF_ERROR(
      CheckBackward(quantize.backward(), "quantize.backward"));
  for (int i = 0; i < quantize.backward_rules_size(); ++i) {
    TERSE_RETURN_IF_ERROR(CheckBackward(
        quantize.backward_rules(i).backward(),
        absl::StrCat("quantize.backward_rules.", i, ".backward")));
  }
  return absl::OkStatus();
}

}  // namespace terse
