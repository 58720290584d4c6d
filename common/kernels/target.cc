#include "common/kernels/target.h"

#include <algorithm>
#include <atomic>
#include <cctype>
#include <cstdint>

#include "hwy/highway.h"
#include "hwy/targets.h"

namespace terse {
namespace {

std::atomic<bool> scalar_forced{false};

std::string LowerName(int64_t target) {
  std::string name = hwy::TargetName(target);
  for (char& c : name) c = static_cast<char>(std::tolower(c));
  return name;
}

// What this build and this CPU have, the plainest first: Highway gives better
// targets lower bits. Listed before the first choice, which hides the others.
const std::vector<int64_t>& Targets() {
  static const auto* const targets = [] {
    auto* const list = new std::vector<int64_t>;
    int64_t rest = hwy::SupportedTargets() & HWY_TARGETS;
    for (; rest != 0; rest &= rest - 1) list->push_back(rest & ~(rest - 1));
    std::reverse(list->begin(), list->end());
    return list;
  }();
  return *targets;
}

void Choose(int64_t target, bool scalar) {
  hwy::SetSupportedTargetsForTest(target);
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
  scalar_forced = scalar;
}

}  // namespace

bool ForceKernelTarget(std::string_view name) {
  const std::vector<int64_t>& targets = Targets();
  if (name == "scalar") {
    Choose(targets.front(), true);
    return true;
  }
  if (name == "auto") {
    Choose(targets.back(), false);
    return true;
  }
  for (int64_t target : targets) {
    if (LowerName(target) == name) {
      Choose(target, false);
      return true;
    }
  }
  return false;
}

std::string KernelTargetName() {
  if (ScalarKernelsForced()) return "scalar";
  Targets();
  const int64_t targets = hwy::SupportedTargets() & HWY_TARGETS;
  return LowerName(targets & ~(targets - 1));
}

std::vector<std::string> KernelTargetNames() {
  std::vector<std::string> names = {"scalar"};
  // Highway's own plain C++ target may be called so too; the references are it.
  for (int64_t target : Targets()) {
    if (LowerName(target) != names.front()) names.push_back(LowerName(target));
  }
  return names;
}

bool ScalarKernelsForced() {
  return scalar_forced.load(std::memory_order_relaxed);
}

}  // namespace terse
