// The instruction set that the kernels run on. Chosen from the CPU at the first
// call; a name from outside pins it, for measurements and for the tests that
// all instruction sets give the same bits.
#ifndef TERSE_COMMON_KERNELS_TARGET_H_
#define TERSE_COMMON_KERNELS_TARGET_H_

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"

namespace terse {

// Instruction sets built in that this CPU has, the best first, in lower case:
// "avx3", "avx2", ..., "emu128" (plain C++). Never empty.
std::vector<std::string> KernelTargets();

// The one in use.
std::string KernelTarget();

// Pins the instruction set of all kernels of this process; "auto" gives the
// choice back to the CPU. Not to be called while kernels run.
// Errors: InvalidArgument (not among KernelTargets).
absl::Status SetKernelTarget(std::string_view name);

}  // namespace terse

#endif  // TERSE_COMMON_KERNELS_TARGET_H_
