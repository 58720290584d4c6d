#include "worker/torch/threads.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <dlfcn.h>
#include <stdlib.h>

namespace terse {
namespace {

// The OpenMP library reads the policy when it is loaded, before main and before
// any constructor of this program; a preinit function comes before that.
void SetWaitPolicy(int, char**, char**) {
  setenv("OMP_WAIT_POLICY", "passive", /*overwrite=*/0);
}
using PreinitFunction = void (*)(int, char**, char**);
[[gnu::section(".preinit_array"),
  gnu::used]] const PreinitFunction kSetWaitPolicy = SetWaitPolicy;

}  // namespace

void ConfigureTorchThreads(uint32_t threads) {
  at::set_num_threads(static_cast<int>(threads));
  // OpenBLAS keeps a pool of its own, as large as the machine unless told; it
  // is known by its symbol, since which BLAS is loaded is the system's choice.
  using SetThreads = void (*)(int);
  if (void* symbol = dlsym(RTLD_DEFAULT, "openblas_set_num_threads")) {
    reinterpret_cast<SetThreads>(symbol)(static_cast<int>(threads));
  }
}

}  // namespace terse
