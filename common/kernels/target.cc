#include "common/kernels/target.h"

#include <cstdint>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/string_view.h"
#include "hwy/highway.h"

namespace terse {
namespace {

std::string NameOf(int64_t target) {
  return absl::AsciiStrToLower(hwy::TargetName(target));
}

// The targets without a pin: a pin hides the others from Highway's list.
const std::vector<int64_t>& AllTargets() {
  static const auto* const targets = [] {
    hwy::SetSupportedTargetsForTest(0);
    return new std::vector<int64_t>(hwy::SupportedAndGeneratedTargets());
  }();
  return *targets;
}

}  // namespace

std::vector<std::string> KernelTargets() {
  std::vector<std::string> names;
  for (int64_t target : AllTargets()) names.push_back(NameOf(target));
  return names;
}

std::string KernelTarget() {
  AllTargets();
  return NameOf(hwy::SupportedAndGeneratedTargets().front());
}

absl::Status SetKernelTarget(std::string_view name) {
  int64_t pinned = 0;
  if (name != "auto") {
    for (int64_t target : AllTargets()) {
      if (NameOf(target) == name) pinned = target;
    }
    if (pinned == 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("kernel target '", ToAbsl(name),
                       "' is not available here; use one of: auto, ",
                       absl::StrJoin(KernelTargets(), ", ")));
    }
  }
  AllTargets();
  hwy::SetSupportedTargetsForTest(pinned);
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
  return absl::OkStatus();
}

}  // namespace terse
