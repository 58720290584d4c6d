#include "worker/torch/threads.h"

#include <ATen/Parallel.h>
#include <dlfcn.h>
#include <stdlib.h>
#include <unistd.h>

namespace terse {

void RestartWithPassiveOpenMp(char** argv) {
  if (getenv("OMP_WAIT_POLICY") != nullptr ||
      getenv("GOMP_SPINCOUNT") != nullptr) {
    return;
  }
  // Set, it also keeps the new program from starting another.
  setenv("OMP_WAIT_POLICY", "passive", /*overwrite=*/0);
  // Where that is not possible, the program goes on as it is, only slower.
  execv("/proc/self/exe", argv);
}

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
