// Which instruction set the kernels run on. Chosen once by the CPU; tests and
// --kernel-target choose by name. Results never depend on it.
#ifndef TERSE_COMMON_KERNELS_TARGET_H_
#define TERSE_COMMON_KERNELS_TARGET_H_

#include <string>
#include <string_view>
#include <vector>

namespace terse {

// Makes every kernel run on `name`: "scalar" (the plain references; kernels
// without one take the plainest target), "ssse3", "sse4", "avx2", "avx3",
// "neon", ... or "auto", the best this CPU has. Returns false and changes
// nothing if the CPU or this build has no such target. Not to be called while
// another thread runs kernels.
bool ForceKernelTarget(std::string_view name);

// Name of the target in use.
std::string KernelTargetName();

// Names of all targets ForceKernelTarget accepts here, "scalar" first and the
// best last.
std::vector<std::string> KernelTargetNames();

// Whether the reference is forced; for the kernels themselves.
bool ScalarKernelsForced();

}  // namespace terse

#endif  // TERSE_COMMON_KERNELS_TARGET_H_
