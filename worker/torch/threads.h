#ifndef TERSE_WORKER_TORCH_THREADS_H_
#define TERSE_WORKER_TORCH_THREADS_H_

#include <cstdint>

namespace terse {

// Has OpenMP threads sleep while they wait, unless the environment says how
// they should (OMP_WAIT_POLICY, GOMP_SPINCOUNT): spinning, they take the cores
// from the BLAS library's threads, and two threads are slower than one. The
// OpenMP library reads its environment when it is loaded, so this starts the
// program once more, in place. Call it first in main.
void RestartWithPassiveOpenMp(char** argv);

// Gives every tensor operation of the process `threads` threads, torch's own
// and the BLAS library's alike. Call it before the first tensor operation.
void ConfigureTorchThreads(uint32_t threads);

}  // namespace terse

#endif  // TERSE_WORKER_TORCH_THREADS_H_
